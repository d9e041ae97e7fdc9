"""Feature maps as rows of channels, the order in which the numba kernels and CPU convolutions are fastest."""

from __future__ import annotations

import torch
from torch import Tensor

from .registry import recording

LARGE_INPUT = 50_000
"""Voxels of an image above which a network trains by rows."""


def by_rows(x: Tensor) -> bool:
    """Whether a network should keep ``x`` and its maps channels-last: on a CPU, where no gradient is recorded.

    Not for exporters, which get PyTorch's convolutions. For training see :func:`trains_by_rows`.
    """
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not recording()


def trains_by_rows(x: Tensor) -> bool:
    """Whether a network in training should keep the maps of its input ``x`` channels-last: on a CPU, if it is large.

    The rounding of channels-last convolutions differs, which changes signs before the leaky ReLU and in small maps a
    float32 gradient by more than 0.1 %. Small maps, which are quick in any order, keep PyTorch's own.
    """
    return _differentiates(x) and x[0, 0].numel() > LARGE_INPUT


def trained_by_rows(x: Tensor) -> bool:
    """Whether ``x`` lies channels-last in memory because of :func:`trains_by_rows`."""
    return _differentiates(x) and x.stride(1) == 1 and x.movedim(1, -1).is_contiguous()


def _differentiates(x: Tensor) -> bool:
    if x.device.type != "cpu" or not torch.is_grad_enabled():
        return False
    return not (recording() or torch.compiler.is_compiling())


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
