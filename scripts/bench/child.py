"""Measurements that need a process of their own: a peak of memory, a training of a bundle."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch

from ..errors import reason
from ..installed import COMPONENTS
from .guard import ChildError, status_bytes, within_memory
from .session import Settings

PRELOADED = [f"{__package__}.works", "monai.bundle", "monai.networks.nets"]
QUICK_PRELOADED = [
    "torch._dynamo",
    f"{COMPONENTS}.kernels.ops.cross_selective_scan.numba",
    f"{COMPONENTS}.kernels.ops.instance_norm.numba",
]


def in_child(function: Callable[..., Any], *args: Any, settings: Settings) -> Any:
    """Call a function in a fresh process and return what it returns.

    The process has the libraries imported but has computed nothing. What it prints is thrown away. If memory becomes
    short, the system ends it rather than this process.

    Args:
        function: importable by name.
        args: its arguments; they and the result can be pickled.
        settings: CPU threads of the process, and whether it is quick: then what PyTorch and numba import when they are
            first needed is imported beforehand as well.

    Raises:
        ChildError: if it failed.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = _context(settings.quick).Process(target=_serve, args=(sender, function, args, settings.threads))
    child.start()
    sender.close()
    try:
        wait([receiver, child.sentinel])
        kind, content = receiver.recv() if receiver.poll() else ("failed", None)
        child.join()
    except EOFError:
        child.join()
        kind, content = "failed", None
    finally:
        if child.is_alive():  # interrupted
            child.terminate()
        receiver.close()
    if kind == "failed":
        raise ChildError(content or _ended(child.exitcode))
    return content


def peak_bytes(device: str = "cpu") -> int | None:
    """Peak memory of this process so far, in bytes.

    On a CPU it is the high-water mark of its resident memory: Python, the libraries and everything else included. On
    CUDA it is what PyTorch allocated on the device. None if the system does not report it.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if (peak := status_bytes("VmHWM")) is not None:
        return peak
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@functools.cache
def _context(quick: bool) -> BaseContext:
    # A server that has imported everything forks fresh processes at once. CUDA and other systems need a new start.
    if sys.platform != "linux" or torch.cuda.is_available():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED + QUICK_PRELOADED if quick else PRELOADED)
    return context


def _serve(sender: Connection, function: Callable[..., Any], args: tuple[Any, ...], threads: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # where /proc cannot be written
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    multiprocessing.set_start_method(None, force=True)  # loaders start their workers as in any program
    torch.set_num_threads(threads)
    try:
        with within_memory():
            result = ("done", function(*args))
    except Exception as error:
        result = ("failed", reason(error))
    sender.send(result)
    sender.close()


def _ended(status: int | None) -> str:
    if status is not None and status < 0:
        return f"the system ended it (signal {-status}), for example because memory was short"
    return f"it ended with status {status}"
