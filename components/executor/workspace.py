"""Memory for large feature maps that is used again within a forward pass.

The C library returns a large block to the system as soon as it is free, and the system hands out new ones page by page,
cleared: that takes as long as a convolution of some maps. A network that says which maps it no longer needs is spared
most of it, and never holds more memory than without.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

LARGE = 2**25
"""Bytes above which the GNU C library keeps no free block (its largest M_MMAP_THRESHOLD)."""

_spare: ContextVar[list[torch.UntypedStorage] | None] = ContextVar("spare", default=None)


@contextmanager
def workspace() -> Iterator[None]:
    """Keep the memory that is given within for what is taken within, in this thread."""
    token = _spare.set([])
    try:
        yield
    finally:
        _spare.reset(token)


def take(batch: int, channels: int, size: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Memory for a feature map on the CPU, with whatever it contains.

    Args:
        batch: B.
        channels: C.
        size: of the space.
        dtype: of the numbers.

    Returns:
        (B, C, *size), channels-last in memory.
    """
    shape = (batch, *size, channels)
    needed, spare = math.prod(shape) * dtype.itemsize, _spare.get()
    if spare:
        for index, storage in enumerate(spare):
            if storage.nbytes() == needed:
                del spare[index]
                return torch.empty(0, dtype=dtype).set_(storage).view(shape).movedim(-1, 1)
        if needed > LARGE:  # the network has gone on to another size: what is spare would only add to the peak
            spare.clear()
    return torch.empty(shape, dtype=dtype).movedim(-1, 1)


def give(x: Tensor) -> None:
    """Let the memory of a large map be used for others; the map is empty afterwards, and no view of it may be used."""
    spare = _spare.get()
    if spare is None:
        return
    storage = x.untyped_storage()
    if storage.nbytes() > LARGE:
        spare.append(storage)
        for tensor in (x, x._base):  # either may have other names, which would keep the memory
            if tensor is not None:
                tensor.set_()
