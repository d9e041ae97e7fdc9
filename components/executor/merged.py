"""Convolution of what a U-Net's decoder merges: neither interpolation nor concatenation is made.

The forward pass is that of :mod:`components.executor.interpolated`. The gradients of the interpolated half are those of
its smaller convolutions, by slabs as well: 8 taps instead of 27 in three dimensions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..kernels.layout import channels_last, memory_format
from ..kernels.linear import linear, weight_gradient
from ..kernels.precision import convolution_dtype, no_autocast
from .convolution import convolve, planes, pointwise, slabs
from .interpolated import Axis, axis, convolve_interpolated, matched, phase_kernels
from .workspace import give


@dataclass(frozen=True)
class Merged:
    """A map interpolated to the nearest neighbour and a skip behind its channels, as the parts that they are made of.

    Args:
        coarse: (B, C, *spatial), channels-last in memory.
        stride: factor for each axis.
        skip: (B, S, *spatial · stride), channels-last in memory, or None for S = 0.
    """

    coarse: Tensor
    stride: tuple[int, ...]
    skip: Tensor | None

    def convolve(self, weight: Tensor, bias: Tensor, owned: bool = False) -> Tensor:
        """Convolution by (F, C + S, *kernel_size), odd sizes, that keeps the size: (B, F, *spatial · stride).

        Args:
            weight: of the convolution.
            bias: of the convolution, (F).
            owned: whether the result may overwrite the skip.
        """
        if torch.is_grad_enabled():
            return convolve_merged(self.coarse, self.stride, self.skip, weight, bias)
        channels = self.coarse.shape[1]
        if self.skip is None:
            return convolve_interpolated(self.coarse, self.stride, weight, bias)
        padding = [size // 2 for size in weight.shape[2:]]
        y = convolve(self.skip, weight[:, channels:], bias, [1] * len(padding), padding, owned)
        return convolve_interpolated(self.coarse, self.stride, weight[:, :channels], None, onto=y)

    def give(self) -> None:
        """Give the memory of both parts to the workspace."""
        for part in (self.coarse, self.skip):
            if part is not None:
                give(part)


def convolve_merged(x: Tensor, factor: Sequence[int], skip: Tensor | None, weight: Tensor, bias: Tensor) -> Tensor:
    """Interpolate to the nearest neighbour, concatenate the skip behind its channels, and convolve; zeros lie around.

    Args:
        x: (B, C, *spatial), channels-last in memory.
        factor: whole, for each axis.
        skip: (B, S, *spatial · factor), channels-last in memory, or None for S = 0.
        weight: (F, C + S, *kernel_size), odd sizes.
        bias: (F).

    Returns:
        (B, F, *spatial · factor), channels-last in memory; under autocast in the dtype of convolutions.
    """
    dtype = convolution_dtype(x)
    skip = None if skip is None else skip.to(dtype)
    with no_autocast(x):
        return _Merged.apply(x.to(dtype), skip, weight.to(dtype), bias.to(dtype), tuple(factor))


class _Merged(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, skip: Tensor | None, weight: Tensor, bias: Tensor, factor: tuple[int, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, skip, weight)
        ctx.factor = factor
        own, other = weight.split([x.shape[1], weight.shape[1] - x.shape[1]], 1)
        if skip is None:
            return convolve_interpolated(x, factor, own, bias)
        return convolve_interpolated(x, factor, own, None, onto=_convolve(skip, other, bias))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, skip, weight = ctx.saved_tensors
        own, other = weight.split([x.shape[1], weight.shape[1] - x.shape[1]], 1)
        dy = channels_last(dy)
        needs_x, needs_skip, needs_weight, needs_bias, _ = ctx.needs_input_grad
        dx, dskip, dweight = None, None, []
        if needs_x or needs_weight:
            dx, down = _interpolated_gradients(dy, x, own, ctx.factor)
            dweight.append(down)
        if skip is not None and (needs_skip or needs_weight):
            dskip, dother = _gradients(dy, skip, other)
            dweight.append(dother)
        dbias = dy.movedim(1, -1).flatten(0, -2).sum(0) if needs_bias else None
        return dx, dskip, torch.cat(dweight, 1) if needs_weight else None, dbias, None


def _convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    ones, padding = [1] * (x.ndim - 2), [size // 2 for size in weight.shape[2:]]
    if max(weight.shape[2:]) == 1:
        return pointwise(x, weight, bias)
    y = torch.convolution(x, weight, bias, ones, padding, ones, False, [0] * len(ones), 1)
    return y.contiguous(memory_format=memory_format(y))


def _gradients(dy: Tensor, x: Tensor, weight: Tensor, padding: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
    """Gradients of the input and the weight of a convolution with stride 1, which keeps the size by default."""
    if max(weight.shape[2:]) == 1:
        rows, drows = x.movedim(1, -1), dy.movedim(1, -1)
        dx = linear(drows, weight.flatten(1).T).movedim(-1, 1)
        return dx, weight_gradient(rows, drows).view_as(weight)
    ones = [1] * (x.ndim - 2)
    padding = [size // 2 for size in weight.shape[2:]] if padding is None else padding
    arguments = None, ones, padding, ones, False, [0] * len(ones), 1, [True, True, False]
    dx, dweight, _ = torch.ops.aten.convolution_backward(dy, x, weight, *arguments)
    return dx, dweight


def _interpolated_gradients(dy: Tensor, x: Tensor, weight: Tensor, factor: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Gradients of the input and the weight of :func:`convolve_interpolated`."""
    dims, size, features = len(factor), x.shape[2:], weight.shape[0]
    axes = [axis(*numbers) for numbers in zip(weight.shape[2:], factor, strict=True)]
    with torch.enable_grad():
        leaf = weight.detach().requires_grad_()
        stacked = phase_kernels(leaf, axes)
    phases = stacked.shape[:dims]
    kernels = stacked.detach().flatten(0, dims)
    dkernels = torch.zeros_like(kernels)
    places = dy.movedim(1, -1)  # to (B, D, factor, H, factor, W, factor, F)
    for position in reversed(range(dims)):
        places = places.unflatten(position + 1, (size[position], factor[position]))
    first, *others = axes
    margins = [number for one in reversed(others) for number in (one.before, one.after)]
    padded = [n + one.before + one.after for n, one in zip(size, axes, strict=True)]
    dx = dy.new_zeros(x.shape[0], *padded, x.shape[1]).movedim(-1, 1)
    for sample, begin, end in slabs(x.shape[0], size, kernels.shape[0] * dy.element_size()):
        slab = channels_last(planes(x[sample : sample + 1], begin - first.before, end + first.after, margins))
        made = [n - taps + 1 for n, taps in zip(slab.shape[2:], kernels.shape[2:], strict=True)]
        part = dy.new_zeros(*made, len(list(itertools.product(*map(range, phases)))), features)
        for index, phase in enumerate(itertools.product(*map(range, phases))):
            _collect(places[sample, begin:end], part[..., index, :], phase, axes)
        dslab, dpart = _gradients(part.flatten(-2).movedim(-1, 0)[None], slab, kernels, [0] * dims)
        dx[sample : sample + 1, :, begin : end + first.before + first.after] += dslab
        dkernels += dpart
    inside = [slice(one.before, one.before + n) for n, one in zip(size, axes, strict=True)]
    (dweight,) = torch.autograd.grad(stacked, leaf, dkernels.view_as(stacked))
    return dx[(slice(None), slice(None), *inside)], dweight


def _collect(places: Tensor, part: Tensor, phase: Sequence[int], axes: Sequence[Axis]) -> None:
    """Write the gradient of a phase, of (d, factor, h, factor, w, factor, F), to its part of what was computed."""
    place, numbers = matched(places, part, phase, axes)
    for position in range(numbers.ndim):
        if numbers.shape[position] < place.shape[position]:
            # one axis at a time, the outermost first: over all at once PyTorch takes the channels of a voxel at a time
            first, *others = place.unbind(position)
            place = sum(others, first).unsqueeze(position)
    numbers.copy_(place)
