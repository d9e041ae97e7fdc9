"""The geometry of a U-Net: target spacing, patch, strides and kernels, by nnU-Net's published rules.

Source: Isensee et al., "nnU-Net", Nature Methods 18 (2021), with its supplement, and the planner of nnU-Net v2. The
rules are written down here in our own words; each function names its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

ANISOTROPY = 3.0
"""From this ratio on an axis counts as coarse: of spacings, of sizes, and of the extents of a patch."""
COARSER = 1e-5
"""So much coarser in mm is the slice axis at least than the others where its 10th percentile is finer."""
SMALLEST_MAP = 4
"""An axis is halved only while at least so many voxels are left of it."""
FIRST_VOXELS = {2: 2048**2, 3: 256**3}
"""Voxels of the patch that the search begins with, by the number of axes."""
WIDEST = {2: 512, 3: 320}
"""No stage has more features than this."""
WIDTH = 32
"""Features of the first stage."""
SMALLEST_ZOOM = 0.85
"""Patches are cut larger by this factor before they are rotated and scaled, so that few of their corners are empty."""


@dataclass(frozen=True)
class Topology:
    """Stages of a U-Net.

    Args:
        strides: stride into each stage, one number for each axis; the first is 1.
        kernel_sizes: kernel of each stage, one number for each axis.
        patch_size: the patch, rounded up to a multiple of the strides' products.
        width: channels of the first stage, 32 by nnU-Net's rules.
        widths: channels of each stage where the rules do not give them, see :meth:`within`. Another ``width`` than 32
            scales them.
    """

    strides: tuple[tuple[int, ...], ...]
    kernel_sizes: tuple[tuple[int, ...], ...]
    patch_size: tuple[int, ...]
    width: int = WIDTH
    widths: tuple[int, ...] = ()

    @property
    def divisor(self) -> tuple[int, ...]:
        """Product of the strides along each axis."""
        return tuple(math.prod(axis) for axis in zip(*self.strides, strict=True))

    @property
    def features(self) -> tuple[int, ...]:
        """Channels of each stage: those of the first, doubled from stage to stage up to a limit."""
        count = len(self.strides)
        planned = self.widths or rule_of_features(len(self.patch_size), count)
        return tuple(features * self.width // WIDTH for features in planned)

    def within(self, widths: tuple[int, ...]) -> Topology:
        """The same with given channels of the stages, and with no more stages than that; without any, itself."""
        if not widths:
            return self
        strides, kernels = self.strides[: len(widths)], self.kernel_sizes[: len(widths)]
        return replace(self, strides=strides, kernel_sizes=kernels, widths=widths[: len(strides)])


def rule_of_features(dims: int, stages: int) -> tuple[int, ...]:
    """Channels of each stage: 32, doubled from stage to stage up to a limit.

    Example:
        >>> rule_of_features(3, 5)
        (32, 64, 128, 256, 320)
    """
    return tuple(min(WIDEST[dims], WIDTH * 2**stage) for stage in range(stages))


def target_spacing(spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """Spacing to which all images are resampled: the median along each axis.

    An axis that is coarse both in spacing (more than three times that of every other axis) and in size (less than a
    third of every other) gets its 10th percentile instead, but stays coarser than every other axis: the median would
    throw away most of the slices of the better scans.

    Args:
        spacings: spacing of each case in mm.
        shapes: size of each case in voxels.

    Example:
        >>> target_spacing([[5.0, 1.0, 1.0], [10.0, 1.0, 1.0], [10.0, 1.0, 1.0]], [[10, 200, 200]] * 3)
        (6.0, 1.0, 1.0)
    """
    target = np.percentile(spacings, 50, axis=0)
    size = np.percentile(shapes, 50, axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(len(target)) if axis != worst]
    coarse = target[worst] > ANISOTROPY * target[others].max() and ANISOTROPY * size[worst] < size[others].min()
    if coarse:
        tenth, coarsest = np.percentile(np.asarray(spacings)[:, worst], 10), target[others].max()
        target[worst] = tenth if tenth >= coarsest else coarsest + COARSER
    return tuple(float(value) for value in target)


def resampled_median(
    spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]], pixdim: Sequence[float]
) -> tuple[float, ...]:
    """Median size along each axis, in voxels, once every case has the target spacing; halves between two cases."""
    resampled = np.rint(np.multiply(shapes, np.divide(spacings, pixdim)))
    return tuple(max(1.0, float(size)) for size in np.median(resampled, axis=0))


def first_patch(pixdim: Sequence[float], median_shape: Sequence[float]) -> tuple[float, ...]:
    """The patch that the search begins with: as long in mm along every axis, and not larger than the median case.

    Example:
        >>> first_patch([1.0, 1.0], [1080, 1920]), first_patch([3.0, 1.5, 1.5], [400, 400, 400])
        ((1080, 1920), (161, 323, 323))
    """
    dims = len(pixdim)
    density = 1 / np.asarray(pixdim, dtype=float)
    edge = density * (FIRST_VOXELS[dims] / density.prod()) ** (1 / dims)
    return tuple(min(round(size), limit) for size, limit in zip(edge, median_shape, strict=True))


def topology(pixdim: Sequence[float], patch_size: Sequence[float]) -> Topology:
    """Strides and kernels for a patch.

    Stage by stage the axes are halved that keep :data:`SMALLEST_MAP` voxels or more and whose spacing is less than
    twice the finest among them. An axis has kernels of 1 until its spacing is less than twice the finest of all; from
    then on they are 3. It ends where no axis can be halved, or only one that would be left with less than one and a
    half times the smallest map. The deepest stage has kernels of 3.

    Args:
        pixdim: target spacing in mm.
        patch_size: wanted size; an axis too short to be halved at all is padded so that there are two stages at least.

    Example:
        >>> topology([3.0, 1.19, 1.19], [48, 160, 224]).strides
        ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
    """
    dims = len(pixdim)
    spacing = [float(value) for value in pixdim]
    size = [float(value) for value in patch_size]
    if not _halved(spacing, size):
        fine = [axis for axis in range(dims) if spacing[axis] < 2 * min(spacing)]
        least = (3 if len(fine) == 1 else 2) * SMALLEST_MAP
        size = [max(n, least) if axis in fine else n for axis, n in enumerate(size)]
    wanted = tuple(size)
    strides, kernels, kernel = [(1,) * dims], [], [1] * dims
    while axes := _halved(spacing, size):
        finest = min(spacing)
        kernel = [3 if k == 3 or s < 2 * finest else 1 for k, s in zip(kernel, spacing, strict=True)]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in axes else 1 for axis in range(dims)))
        for axis in axes:
            spacing[axis] *= 2
            size[axis] = math.ceil(size[axis] / 2)
    kernels.append((3,) * dims)
    found = Topology(tuple(strides), tuple(kernels), (1,) * dims)
    return Topology(found.strides, found.kernel_sizes, _padded(wanted, found.divisor))


def _padded(size: Sequence[float], divisor: Sequence[int]) -> tuple[int, ...]:
    """The size, rounded up to a multiple."""
    return tuple(math.ceil(n / d) * d for n, d in zip(size, divisor, strict=True))


def _halved(spacing: Sequence[float], size: Sequence[float]) -> list[int]:
    """Axes that the next stage halves."""
    long = [axis for axis, n in enumerate(size) if n >= 2 * SMALLEST_MAP]
    finest = min((spacing[axis] for axis in long), default=0.0)
    axes = [axis for axis in long if spacing[axis] < 2 * finest]
    return [] if len(axes) == 1 and size[axes[0]] < 3 * SMALLEST_MAP else axes


def smaller(pixdim: Sequence[float], found: Topology, median_shape: Sequence[float]) -> Topology | None:
    """The next smaller patch: one step less along the axis that covers most of the median case, the last of such axes.

    The step is the product of the strides of the topology that the smaller patch gets, so that no size in between is
    left out. Where this leads nowhere, the axis that covers next most is tried.

    Returns:
        Its topology; None where the patch cannot become smaller.
    """
    patch = list(found.patch_size)
    for axis in np.argsort([p / m for p, m in zip(patch, median_shape, strict=True)], kind="stable")[::-1]:
        tried = list(patch)
        tried[axis] -= found.divisor[axis]
        if tried[axis] < 1:
            continue
        tried[axis] = patch[axis] - topology(pixdim, tried).divisor[axis]
        result = topology(pixdim, tried)
        if math.prod(result.patch_size) < math.prod(patch):
            return result
    return None


def is_anisotropic(patch_size: Sequence[int]) -> bool:
    """Whether a patch, slice axis first, is too flat to be rotated out of its slices."""
    return len(patch_size) == 3 and max(patch_size) / patch_size[0] > ANISOTROPY


def degrees(patch_size: Sequence[int]) -> int:
    """Largest angle of rotation to either side: small in long pictures and in space, any in square planes."""
    if len(patch_size) == 2:
        return 15 if max(patch_size) / min(patch_size) > 1.5 else 180
    return 180 if is_anisotropic(patch_size) else 30


def augmented_size(patch_size: Sequence[int]) -> tuple[int, ...]:
    """Size that is cut so that a patch can be rotated and made smaller without empty corners.

    The corner of the patch is turned by the largest angle, at most 90°, in each plane of rotation; the largest extent
    of it along each axis is divided by :data:`SMALLEST_ZOOM`.

    Example:
        >>> augmented_size([384, 640]), augmented_size([48, 160, 224])
        ((631, 752), (48, 263, 263))
    """
    dims = len(patch_size)
    planes = {2: [(0, 1)], 3: [(1, 2)] if is_anisotropic(patch_size) else [(1, 2), (2, 0), (0, 1)]}[dims]
    angle = math.radians(min(90, degrees(patch_size)))
    extent = [float(n) for n in patch_size]
    for a, b in planes:
        long, short = patch_size[a], patch_size[b]
        extent[a] = max(extent[a], long * math.cos(angle) + short * math.sin(angle))
        extent[b] = max(extent[b], abs(short * math.cos(angle) - long * math.sin(angle)))
    turned = {axis for plane in planes for axis in plane}
    return tuple(int(n / SMALLEST_ZOOM) if axis in turned else int(n) for axis, n in enumerate(extent))


def supervision_weights(stages: int) -> tuple[float, ...]:
    """Weights of the losses of a U-Net's outputs, finest first: 1, ½, ¼, … and 0 for the coarsest, to the sum of 1.

    Example:
        >>> supervision_weights(6)
        (0.533333, 0.266667, 0.133333, 0.066667, 0.0)
    """
    weights = [2.0**-output for output in range(stages - 1)]
    if len(weights) > 1:
        weights[-1] = 0.0
    return tuple(round(weight / sum(weights), 6) for weight in weights)
