"""Too little memory is an error rather than the end of the process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from ..errors import UserError
from ..memory import GIB, available

KEPT = 0.95
"""Share of the free memory that may be used."""


class ChildError(UserError):
    """A measurement in a process of its own failed; the message says why."""


@contextlib.contextmanager
def within_memory() -> Iterator[None]:
    """Let an allocation beyond the free main memory fail, or else the system would end a process to make room.

    It is Linux that counts what a process has allocated; elsewhere, and beside CUDA, which reserves far more addresses
    than memory, nothing is changed.
    """
    used = status_bytes("VmData")
    if used is None or torch.cuda.is_available():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [used + int(KEPT * available().gib * GIB), *(n for n in (soft, hard) if n != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def status_bytes(key: str, process: int | str = "self") -> int | None:
    """An entry of a process's status in bytes, such as VmHWM, or None if the system has no such file (not Linux)."""
    return _kilobytes(Path(f"/proc/{process}/status"), key)


def shared_bytes(process: int | str = "self") -> int | None:
    """Main memory of a process in bytes; what several processes share is divided among them. None if not on Linux."""
    return _kilobytes(Path(f"/proc/{process}/smaps_rollup"), "Pss")


def _kilobytes(path: Path, key: str) -> int | None:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)
