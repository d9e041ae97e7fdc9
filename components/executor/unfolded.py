"""Convolution of a small map by a large weight, as the one matrix product that it is.

Deep in a U-Net the weight is many times larger than the map. What takes the time there is the weight's change to the
order in memory that oneDNN convolves in, and its gradient's back. A matrix product takes both as they are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..kernels.linear import linear, weight_gradient
from ..kernels.precision import compute_dtype, convolution_dtype, no_autocast

LARGE = 2**20
"""Numbers of a weight below which the caches hold it while its order changes."""


def is_large(weight: Tensor, x: Tensor, stride: Sequence[int]) -> bool:
    """Whether a weight has more numbers than what its kernel, which keeps the size, meets at all positions of a map.

    Args:
        weight: (F, C, *kernel_size).
        x: (B, C, *spatial).
        stride: for each axis.
    """
    positions = math.prod(-(-length // step) for length, step in zip(x.shape[2:], stride, strict=True))
    return max(weight.shape[2:]) > 1 and weight.numel() >= LARGE and positions < weight.shape[0]


def convolve_unfolded(x: Tensor, weight: Tensor, bias: Tensor, stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """Convolve; under autocast in its dtype.

    Args:
        x: (B, C, *spatial).
        weight: (F, C, *kernel_size).
        bias: (F).
        stride: for each axis.
        padding: for each axis, with zeros.

    Returns:
        (B, F, *spatial), channels-last in memory.
    """
    dtype = convolution_dtype(x)
    with no_autocast(x):
        return _Unfolded.apply(x.to(dtype), weight.to(dtype), bias.to(dtype), tuple(stride), tuple(padding))


class _Unfolded(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.steps = stride, padding
        return linear(_unfold(x, weight.shape[2:], stride, padding), weight.flatten(1), bias).movedim(-1, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, _, _ = ctx.needs_input_grad
        dx, dweight, drows, kernel = None, None, dy.movedim(1, -1), weight.shape[2:]
        if needs_x:
            dx = _fold(linear(drows, weight.flatten(1).T), x, kernel, *ctx.steps)
        if needs_weight:
            dweight = weight_gradient(_unfold(x, kernel, *ctx.steps), drows).view_as(weight)
        return dx, dweight, drows.flatten(0, -2).sum(0) if needs_bias else None, None, None


def _unfold(x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """(B, C, *spatial) to (B, *positions, C · taps), what the kernel meets at each position."""
    padded = F.pad(x, [pad for pad in reversed(padding) for _ in range(2)])
    return torch.stack([padded[met].movedim(1, -1) for met in _taps(padded, kernel, stride)], -1).flatten(-2)


def _fold(rows: Tensor, x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """Sum (B, *positions, C · taps) to the places of ``x`` that the taps meet: the transpose of :func:`_unfold`."""
    around = [length + 2 * pad for length, pad in zip(x.shape[2:], padding, strict=True)]
    padded = x.new_zeros(*x.shape[:2], *around, dtype=compute_dtype(x))
    planes = rows.movedim(-1, 1).contiguous().unflatten(1, (x.shape[1], -1))  # each tap's numbers lie side by side
    for met, tap in zip(_taps(padded, kernel, stride), planes.unbind(2), strict=True):
        padded[met] += tap
    inside = (slice(pad, pad + length) for pad, length in zip(padding, x.shape[2:], strict=True))
    return padded[(..., *inside)].to(x.dtype)


def _taps(padded: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Iterator[tuple]:
    """For each tap of the kernel the voxels of the padded map that it meets."""
    for taps in itertools.product(*map(range, kernel)):
        ends = (length - size + tap + 1 for length, size, tap in zip(padded.shape[2:], kernel, taps, strict=True))
        yield (..., *(slice(*one) for one in zip(taps, ends, stride, strict=True)))
