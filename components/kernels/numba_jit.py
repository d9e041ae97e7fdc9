"""How numba kernels of every operator are compiled and run beside PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numba
import torch

_OPTIONS = {"nogil": True, "fastmath": {"contract", "reassoc", "nsz", "arcp"}, "error_model": "numpy"}
_serial = threading.Lock()  # numba's default threading layer aborts the process on concurrent calls


def jit(**options: bool) -> Callable[[Callable], Callable]:
    """Compile with numba; the machine code is kept on disk where a cache folder can be written.

    Args:
        options: of ``numba.njit``, such as ``parallel``.
    """

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, **_OPTIONS, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache can be written
            return numba.njit(**_OPTIONS, **options)(function)

    return decorate


@contextmanager
def threads() -> Iterator[None]:
    """Run kernels on as many threads as PyTorch uses, one kernel at a time."""
    wanted = torch.get_num_threads()
    with _serial:
        before = numba.get_num_threads()
        numba.set_num_threads(max(1, min(wanted, numba.config.NUMBA_NUM_THREADS)))
        try:
            yield
        finally:
            numba.set_num_threads(before)
            if torch.get_num_threads() != wanted:  # numba's first kernel changes the OpenMP setting that both share
                torch.set_num_threads(wanted)
