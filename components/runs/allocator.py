"""The memory of the C library in a process that runs a bundle."""

from __future__ import annotations

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``, as malloc.h has them."""
KEPT = 2**31 - 1
"""Bytes at the end of the heap that are kept when they are free: as many as ``mallopt`` takes."""
LARGE = 2**25
"""Bytes from which on a block is the system's and goes back to it at once: as glibc has it after a block as large."""
OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
"""Environment variables by which users set it themselves."""


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for the next allocations, but for large blocks.

    By default it hands the free end of its heap back whenever that is twice as large as the largest block so far, and
    the system clears each page that it hands out again. A training on a CPU frees and allocates the same feature maps
    in every step; most of them are no large blocks.

    Returns:
        Whether it does so: not with another C library, nor where the environment has settings of its own.
    """
    if any(name in os.environ for name in OWN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # another system or library
        return False
    # Both, as glibc no longer adjusts either once one of them is set.
    return all([mallopt(MMAP_THRESHOLD, LARGE), mallopt(TRIM_THRESHOLD, KEPT)])
