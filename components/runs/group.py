"""One process among several: its threads end before the interpreter does."""

from __future__ import annotations

import atexit
import gc
import os


def end_with_group() -> None:
    """Let the threads of gloo end with the process group, where this process is one of several.

    Call it before the process group is made. The threads end when the last reference to the group goes. One that lives
    on at the interpreter's end, and then frees a tensor, is stopped in the middle of C++ code, which aborts the process
    ("terminate called without an active exception"). Two things refer to the group after its destruction: the first
    DistributedDataParallel imports ``torch.distributed.nn``, where functions have the group of that moment as default
    argument, so it is imported here, without a group; and the network of a config, which is in a reference cycle.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        import torch.distributed.nn  # noqa: F401

        atexit.register(gc.collect)
