"""What the machine can do, measured, and what it is: the numbers that others are to be read beside."""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from components import __version__, machine
from components.kernels import default_backend, operators
from components.kernels.linear import linear
from scripts.bench.session import Settings
from scripts.bench.timing import once
from scripts.errors import reason

ROUNDS = 5


def measure(settings: Settings, tell: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Describe the machine and measure its speed.

    Args:
        settings: threads and device.
        tell: called with what is being measured.

    Returns:
        ``cpu``, ``versions``, ``backends`` (what "auto" takes) and ``rates``: operations a second of a matrix product
        in float32 and bfloat16 and of a 3D convolution, and bytes a second, read and written, of a copy in memory.
        A rate that cannot be measured is None.
    """
    rates = {}
    for name, (make, work) in _rates(settings).items():
        tell(f"speed of {name}")
        try:
            run = make()
            run()
            rates[name] = work / statistics.median(once(run, settings.device) for _ in range(ROUNDS))
        except Exception as error:  # for example no bfloat16 on this device
            rates[name] = None
            tell(reason(error))
    return {
        "cpu": cpu(),
        "device": torch.cuda.get_device_name() if settings.device == "cuda" else "cpu",
        "versions": {"scanseg": __version__, **machine.versions()},
        "backends": {op: default_backend(op, settings.device) for op in operators()},
        "rates": rates,
    }


def cpu() -> dict[str, Any]:
    """Model, cores, flags and memory of the CPU."""
    flags = machine.cpu_flags()
    return {
        "model": machine.cpu_model(),
        "cores": machine.cores(),
        "flags": flags,
        "amx": "amx_bf16" in flags,
        "avx512_bf16": "avx512_bf16" in flags,
        "memory_bytes": machine.memory_bytes(),
        "system": platform.platform(),
    }


def _rates(settings: Settings) -> Mapping[str, tuple[Callable[[], Callable[[], object]], float]]:
    """For each rate what makes the run, and how much work a run is."""
    edge, numbers = settings.size(2048, 128), settings.size(2**27, 2**18)
    channels, shape = settings.size((32, (48, 80, 112)), (4, (8, 8, 8)))
    product = 2.0 * edge**3

    def matrix(dtype: torch.dtype) -> Callable[[], object]:
        a, b = (torch.randn(edge, edge, device=settings.device).to(dtype) for _ in range(2))
        return lambda: linear(a, b)

    def copy() -> Callable[[], object]:
        source = torch.ones(numbers, device=settings.device)
        target = torch.zeros_like(source)  # both have all of their pages before the first timed copy
        return lambda: target.copy_(source)

    return {
        "matrix_float32": (lambda: matrix(torch.float32), product),
        "matrix_bfloat16": (lambda: matrix(torch.bfloat16), product),
        "conv3d_float32": (lambda: convolution(channels, shape, settings.device), operations(channels, shape)),
        "copy": (copy, 2.0 * 4 * numbers),
    }


def convolution(channels: int, size: Sequence[int], device: str = "cpu") -> Callable[[], None]:
    """A 3D convolution in float32 by 3 × 3 × 3 to time: as many channels in as out, of a map of three axes."""
    x = torch.randn(1, channels, *size, device=device)
    weight = torch.randn(channels, channels, 3, 3, 3, device=device)

    def run() -> None:
        with torch.no_grad():
            F.conv3d(x, weight, padding=1)

    return run


def operations(channels: int, size: Sequence[int]) -> float:
    """Operations of :func:`convolution`: twice its multiply-adds."""
    return 2.0 * 27 * channels**2 * math.prod(size)
