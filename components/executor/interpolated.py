"""Convolution of a nearest-neighbour interpolated map that is never made.

In an interpolated map several taps of a kernel meet the same voxel of the map it was made of. Which ones depends only
on the position modulo the factor, its phase. So each phase is a smaller convolution of the coarse map, by sums of the
weights: 8 taps instead of 27 for a kernel of 3³ and a factor of 2³.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..kernels.precision import convolution_dtype
from .convolution import convolution, planes, slabs
from .workspace import take


class Axis(NamedTuple):
    """How a kernel meets the coarse map along one axis.

    Args:
        starts: for each phase the first voxel that its taps meet, counted from the one that is interpolated. A kernel
            of size 1 has one phase for all positions.
        taps: (phases, voxels met, kernel size), 1 where a tap meets a voxel.
    """

    starts: tuple[int, ...]
    taps: Tensor

    @property
    def before(self) -> int:
        """Voxels needed before the map."""
        return -min(self.starts)

    @property
    def after(self) -> int:
        """Voxels needed behind the map."""
        return max(self.starts) + self.taps.shape[1] - 1


def axis(size: int, factor: int) -> Axis:
    """Phases of a kernel of odd size on a map that is interpolated by a factor.

    Example:
        >>> starts, taps = axis(3, 2)
        >>> starts, taps.int().tolist()
        ((-1, 0), [[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
    """
    phases = 1 if size == 1 else factor
    met = torch.tensor([[(phase + tap - size // 2) // factor for tap in range(size)] for phase in range(phases)])
    starts = met.amin(1)
    voxels = torch.arange(int((met.amax(1) - starts).max()) + 1)
    taps = (met - starts[:, None])[:, None] == voxels[:, None]
    return Axis(tuple(starts.tolist()), taps.float())


def convolve_interpolated(
    x: Tensor, factor: Sequence[int], weight: Tensor, bias: Tensor | None, onto: Tensor | None = None
) -> Tensor:
    """Interpolate to the nearest neighbour and convolve, with zeros around the map; without gradients.

    Args:
        x: (B, C, *spatial), channels-last in memory.
        factor: whole, for each axis.
        weight: (F, C, *kernel_size), odd sizes.
        bias: (F), or None.
        onto: what the result is added to, in place: like the result, in the dtype to compute in.

    Returns:
        (B, F, *spatial · factor), channels-last in memory: ``onto``, or taken from the workspace.
    """
    dims, size, features, dtype = len(factor), x.shape[2:], weight.shape[0], convolution_dtype(x)
    axes = [axis(*numbers) for numbers in zip(weight.shape[2:], factor, strict=True)]
    kernels = phase_kernels(weight, axes)
    phases = kernels.shape[:dims]
    kernels, biases = kernels.flatten(0, dims), None if bias is None else bias.repeat(math.prod(phases))
    fine = [a * b for a, b in zip(size, factor, strict=True)]
    y = take(x.shape[0], features, fine, dtype) if onto is None else onto
    places = y.movedim(1, -1)  # to (B, D, factor, H, factor, W, factor, F)
    for position in reversed(range(dims)):
        places = places.unflatten(position + 1, (size[position], factor[position]))
    first, *others = axes
    margins = [number for one in reversed(others) for number in (one.before, one.after)]
    parts = slabs(x.shape[0], size, kernels.shape[0] * y.element_size())
    layer = convolution(kernels, biases, dtype, [1] * dims, [0] * dims, sliced=len(parts) > x.shape[0])
    for sample, begin, end in parts:
        slab = planes(x[sample : sample + 1], begin - first.before, end + first.after, margins)
        part = layer(slab)[0].movedim(0, -1).unflatten(-1, (-1, features))
        for index, phase in enumerate(itertools.product(*map(range, phases))):
            place, numbers = matched(places[sample, begin:end], part[..., index, :], phase, axes)
            if numbers.shape[-2] < place.shape[-2]:  # else PyTorch takes the channels of a voxel at a time
                numbers = numbers.expand(*numbers.shape[:-2], place.shape[-2], features).contiguous()
            place.copy_(numbers) if onto is None else place.add_(numbers)
    return y


def phase_kernels(weight: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Sums of weights: (F, C, *kernel_size) to (*phases, F, C, *voxels met)."""
    for one in axes:
        weight = torch.tensordot(weight, one.taps.to(weight.dtype), dims=([2], [2]))  # appends phase and voxel
    dims = len(axes)
    return weight.permute(*range(2, 2 + 2 * dims, 2), 0, 1, *range(3, 3 + 2 * dims, 2))


def matched(places: Tensor, part: Tensor, phase: Sequence[int], axes: Sequence[Axis]) -> tuple[Tensor, Tensor]:
    """The places of a phase, of (d, factor, h, factor, w, factor, F), and its numbers, of (*spatial, F)."""
    where: list[slice | int] = []
    for position, (index, one) in enumerate(zip(phase, axes, strict=True)):
        part = part.narrow(position, one.before + one.starts[index], places.shape[2 * position])
        where += [slice(None), slice(None) if len(one.starts) == 1 else index]
    for position in reversed(range(len(axes))):
        if len(axes[position].starts) == 1:
            part = part.unsqueeze(position + 1)
    return places[tuple(where)], part
