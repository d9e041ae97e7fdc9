"""Convolutions of channels-last maps on a CPU, slab by slab into memory that is there already.

A large result is computed in slabs of the first spatial axis. A slab is small enough for the C library to keep its
memory, see :mod:`components.executor.workspace`, and still in the cache when it is copied to its place, which may be
the place of the input.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..kernels.layout import channels_last
from ..kernels.linear import linear
from ..kernels.precision import convolution_dtype
from .workspace import take

SLAB = 2**23
"""Bytes of a slab."""


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    inplace: bool = False,
) -> Tensor:
    """Convolution without gradients; under autocast in its dtype.

    Args:
        x: (B, C, *spatial), channels-last in memory.
        weight: (F, C, *kernel_size).
        bias: (F), or None.
        stride: for each axis.
        padding: for each axis.
        inplace: whether the result may overwrite x, if it has its shape and dtype.

    Returns:
        (B, F, *spatial), channels-last in memory: that of x, taken from the workspace, or new if it is one slab.
    """
    dtype, kernel = convolution_dtype(x), weight.shape[2:]
    axes = zip(x.shape[2:], kernel, stride, padding, strict=True)
    size = [(length + 2 * pad - taps) // step + 1 for length, taps, step, pad in axes]
    shape = (x.shape[0], weight.shape[0], *size)
    overwrites = inplace and shape == x.shape and dtype == x.dtype
    parts = slabs(shape[0], size, shape[1] * dtype.itemsize)
    sliced = len(parts) > shape[0]
    layer = convolution(weight, bias, dtype, stride, (0, *padding[1:]) if sliced else padding, sliced)
    if len(parts) == 1:
        return channels_last(layer(x))
    y = x if overwrites else take(*shape[:2], size, dtype)
    waiting = deque()
    needed = padding[0] if overwrites and sliced else 0  # rows before its own that a slab reads
    for sample, begin, end in parts:
        rows = x[sample : sample + 1]
        if sliced:
            first = begin * stride[0] - padding[0]
            rows = planes(rows, first, first + (end - begin - 1) * stride[0] + kernel[0])
        waiting.append((end, y[sample : sample + 1, :, begin:end], layer(rows)))
        while waiting and waiting[0][0] <= end - needed:
            _, place, part = waiting.popleft()
            place.copy_(part)
    for _, place, part in waiting:
        place.copy_(part)
    return y


def convolution(
    weight: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype,
    stride: Sequence[int],
    padding: Sequence[int],
    sliced: bool,
) -> Callable[[Tensor], Tensor]:
    """A convolution of channels-last maps, in a dtype; other arguments as in :func:`convolve`.

    A kernel of size 1 is the matrix product over the channels that it is, for which nothing has to be copied.

    Args:
        sliced: whether it is for slabs of larger maps. They get oneDNN's convolution, if it is built in: for what is as
            flat as some slabs are, PyTorch would take one that is ten times slower.
    """
    weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
    ones, nought = [1] * len(stride), [0] * len(stride)
    if max(weight.shape[2:]) == 1:
        steps = tuple(slice(None, None, step) for step in stride)
        return lambda x: pointwise(x[(..., *steps)].to(dtype), weight, bias)
    if sliced and _has_onednn(dtype):
        return lambda x: torch.mkldnn_convolution(x.to(dtype), weight, bias, padding, stride, ones, 1)
    return lambda x: torch.convolution(x.to(dtype), weight, bias, stride, padding, ones, False, nought, 1)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution of channels-last maps by kernels of size 1, as a matrix product over the channels."""
    return linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)


def _has_onednn(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def slabs(batch: int, size: Sequence[int], voxel: int, most: int | None = None) -> list[tuple[int, int, int]]:
    """Cut a batch of maps into slabs.

    Args:
        batch: number of maps.
        size: of the space.
        voxel: bytes of the channels of a voxel.
        most: bytes of a slab, unless a single plane has more; :data:`SLAB` by default.

    Returns:
        For each slab the sample, and begin and end along the first spatial axis.

    Example:
        >>> slabs(1, (5, 1024, 1024), 4)
        [(0, 0, 2), (0, 2, 4), (0, 4, 5)]
    """
    most = SLAB if most is None else most
    length = max(1, most // (voxel * math.prod(size[1:])))
    begins = itertools.product(range(batch), range(0, size[0], length))
    return [(sample, begin, min(begin + length, size[0])) for sample, begin in begins]


def planes(x: Tensor, first: int, last: int, margins: Sequence[int] = ()) -> Tensor:
    """The planes first … last − 1 of the first spatial axis; what is outside of the map is zero.

    Args:
        x: (B, C, *spatial).
        first: may be negative.
        last: may be more than there are.
        margins: voxels to add before and behind each of the other axes, the last axis first; none by default.
    """
    margins = [*(margins or [0, 0] * (x.ndim - 3)), max(-first, 0), max(last - x.shape[2], 0)]
    inside = x[:, :, max(first, 0) : last]
    return F.pad(inside, margins) if any(margins) else inside
