"""Feature maps as rows of channels, the order in which the numba kernels and CPU convolutions are fastest."""

from __future__ import annotations

import torch
from torch import Tensor


def is_by_rows(x: Tensor) -> bool:
    """Whether (B, C, *spatial) lies channels-last in memory, with the strides that :func:`channels_last` gives."""
    return x.stride(1) == 1 and x.movedim(1, -1).is_contiguous()


def channels_last(x: Tensor) -> Tensor:
    """Order the memory of (B, C, *spatial), 2D or 3D, by voxels, then channels; no copy where it is so already.

    Example:
        >>> import torch
        >>> channels_last(torch.zeros(1, 2, 2, 3)).stride()
        (12, 1, 6, 2)
    """
    rows = x.movedim(1, -1).contiguous()
    return rows.flatten().view(rows.shape).movedim(-1, 1)  # the strides of axes of size 1 become clear, too


def memory_format(x: Tensor) -> torch.memory_format:
    """PyTorch's name for the channels-last order of (B, C, *spatial), 2D or 3D."""
    return torch.channels_last if x.ndim == 4 else torch.channels_last_3d


def to_rows(x: Tensor) -> Tensor:
    """(B, C, *spatial) to contiguous (B, voxels, C); no copy where x is channels-last in memory."""
    return x.movedim(1, -1).contiguous().flatten(1, -2)


def from_rows(rows: Tensor, like: Tensor) -> Tensor:
    """(B, voxels, C) to (B, C, *spatial), channels-last in memory, with the spatial size of ``like``; no copy."""
    return rows.unflatten(1, like.shape[2:]).movedim(-1, 1)
