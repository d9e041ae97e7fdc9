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

    What kernels call is inlined. Else the process that compiles one runs the code of its callees on their own, and
    later ones, which load it, the code that was optimised with the kernel: their last bits differ.

    Args:
        options: of ``numba.njit``, such as ``parallel``, which kernels have that are called from Python.
    """
    chosen = {**_OPTIONS, "forceinline": not options.get("parallel", False), **options}

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, **chosen)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache can be written
            return numba.njit(**chosen)(function)

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
