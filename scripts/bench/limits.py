"""What the machine can do, measured, and what it is: the numbers that others are to be read beside."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from components import __version__
from components.kernels import default_backend, operators

from .guard import reason
from .session import Settings
from .timing import once

PACKAGES = ("torch", "monai", "pytorch-ignite", "numpy", "numba", "triton", "mlstm-kernels", "mamba-ssm")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "sve", "bf16")
"""Flags of a CPU that decide on speed, as Linux calls them."""
ROUNDS = 5


def measure(settings: Settings, tell: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Describe the machine and measure its speed.

    Args:
        settings: threads and device.
        tell: is told what is measured.

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
        "versions": versions(),
        "backends": {op: default_backend(op, settings.device) for op in operators()},
        "rates": rates,
    }


def cpu() -> dict[str, Any]:
    """Model, cores, flags and memory of the CPU."""
    entries = _cpuinfo()
    flags = entries.get("flags", entries.get("Features", "")).split()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = None
    return {
        "model": entries.get("model name") or platform.processor() or platform.machine(),
        "cores": cores,
        "flags": [flag for flag in FLAGS if flag in flags],
        "amx": "amx_bf16" in flags,
        "avx512_bf16": "avx512_bf16" in flags,
        "memory_bytes": memory,
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Version of Python, of scanseg and of each package that matters and is installed."""
    found = {"python": platform.python_version(), "scanseg": __version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _rates(settings: Settings) -> Mapping[str, tuple[Callable[[], Callable[[], object]], float]]:
    """For each rate what makes the run, and how much work a run is."""
    edge, numbers = settings.size(2048, 128), settings.size(2**27, 2**18)
    channels, shape = settings.size((32, (48, 80, 112)), (4, (8, 8, 8)))
    product = 2.0 * edge**3
    voxels = shape[0] * shape[1] * shape[2]

    def matrix(dtype: torch.dtype) -> Callable[[], object]:
        a, b = (torch.randn(edge, edge, device=settings.device).to(dtype) for _ in range(2))
        return lambda: torch.mm(a, b)

    def copy() -> Callable[[], object]:
        source = torch.ones(numbers, device=settings.device)
        target = torch.zeros_like(source)  # both have all of their pages before the first timed copy
        return lambda: target.copy_(source)

    def convolution() -> Callable[[], object]:
        x = torch.randn(1, channels, *shape, device=settings.device)
        weight = torch.randn(channels, channels, 3, 3, 3, device=settings.device)

        def run() -> None:
            with torch.no_grad():
                F.conv3d(x, weight, padding=1)

        return run

    return {
        "matrix_float32": (lambda: matrix(torch.float32), product),
        "matrix_bfloat16": (lambda: matrix(torch.bfloat16), product),
        "conv3d_float32": (convolution, 2.0 * 27 * channels**2 * voxels),
        "copy": (copy, 2.0 * 4 * numbers),
    }


def _cpuinfo() -> dict[str, str]:
    """Entries of the first processor, on Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}
