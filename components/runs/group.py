"""One process among several: its threads end before the interpreter does."""

from __future__ import annotations

import atexit
import gc
import os
from typing import Any

import torch
import torch.distributed as dist


def before_group() -> None:
    """Let no function of PyTorch refer to the process group. Call it before the group is made.

    The first DistributedDataParallel imports ``torch.distributed.nn``, where functions have the group of that moment as
    default argument. It is imported here, without a group, where this process is one of several.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        import torch.distributed.nn  # noqa: F401


def end_group() -> None:
    """Destroy the process group; the threads of gloo end when the interpreter begins to end.

    They end with the last reference to the group, in one of two ways that can go wrong. A thread that lives on while
    the interpreter ends, and frees a tensor, is stopped in the middle of C++ code, which aborts the process ("terminate
    called without an active exception"). And where the last reference is that of DistributedDataParallel, in a
    reference cycle of a config's network, the garbage collector waits for the threads with the interpreter's lock, for
    which a thread that frees a tensor waits in turn, forever. So the last reference is the one that is kept here,
    which gives up the lock to wait.

    Raises:
        ValueError: if there is no process group.
    """
    kept = [dist.group.WORLD._get_backend(torch.device("cpu"))] if dist.get_backend() == "gloo" else []
    dist.destroy_process_group()
    atexit.register(_free, kept)


def _free(kept: list[Any]) -> None:
    gc.collect()
    kept.clear()
