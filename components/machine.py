"""Facts about the machine and its software: processor, memory, devices, versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "monai", "pytorch-ignite", "numpy", "nibabel", "numba", "triton", "mamba-ssm", "mlstm-kernels")
"""Packages that the result or the speed of a run depends on."""
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "sve", "bf16")
"""Flags of a processor that decide on speed, as Linux calls them."""
CONTAINER = Path("/sys/fs/cgroup")
"""Where Linux states what a container may use."""


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Version of Python, ``python``, and of each package that is installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cpu_model() -> str:
    """Name of the processor, as the system reports it."""
    return _first_processor().get("model name") or platform.processor() or platform.machine()


def cpu_flags() -> list[str]:
    """Those of :data:`FLAGS` that the processor has; empty if the system does not report it (not Linux)."""
    entries = _first_processor()
    flags = entries.get("flags", entries.get("Features", "")).split()
    return [flag for flag in FLAGS if flag in flags]


def cores() -> int:
    """Logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Main memory of the machine, or None if the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def free_memory_bytes() -> int | None:
    """Main memory that a process may still take, or None if the system does not report it.

    What the system would give up of its caches counts as free, and the limit of a container is respected. Where the
    system tells only how much memory there is, half of it counts.
    """
    found = [free for free in (_free_of_system(), _free_of_container()) if free is not None]
    return min(found, default=None)


def accelerator() -> str:
    """Device type that PyTorch finds here ("cuda", "mps", "xpu"), or "cpu"."""
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found.type if found is not None else "cpu"


def _first_processor() -> dict[str, str]:
    """Entries of the first processor, on Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _free_of_system() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        total = memory_bytes()
        return None if total is None else total // 2


def _free_of_container() -> int | None:
    try:
        limit, used = (
            (CONTAINER / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current")
        )
        return None if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None
