"""From what was measured to the settings of a bundle, by nnU-Net's published rules, with the reason of each choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import UserError
from ..memory import Memory, msvm_gib, xlstm_gib
from .measure import Measurement
from .topology import (
    ANISOTROPY,
    Topology,
    augmented_size,
    degrees,
    first_patch,
    is_anisotropic,
    resampled_median,
    smaller,
    supervision_weights,
    target_spacing,
    topology,
)

REFERENCE_BATCH = {2: 12, 3: 2}
"""The patch shrinks until so many of it fit into the memory, by the number of axes."""
SMALLEST_BATCH = 2
LARGEST_SHARE = 0.05
"""A batch shows at most this part of the voxels of the data set."""
MASKED_BELOW = 0.75
"""Where less of the images is left without their empty margins, only what is not 0 is normalised."""
SLICE_SIZE = (224, 224)
"""Size to which MSVM-UNet's recipe resizes a slice."""
FULL_BATCH = 32
"""Batch of MSVM-UNet's recipe."""


@dataclass(frozen=True)
class Normalisation:
    """How intensities become numbers for the network.

    Args:
        kind: "ct" (clipped to fixed bounds; then by mean and standard deviation, or to 0 … 1 for MSVM-UNet),
            "z-score" (each channel of each image by itself), "minimum-maximum" (the same, to 0 … 1) or "8 bit" (0 … 255
            to 0 … 1).
        low: lower bound, "ct" only.
        high: upper bound, "ct" only.
        mean: what is subtracted, "ct" only.
        sd: what is divided by, "ct" only.
        masked: whether a z-score counts only what is not 0.
    """

    kind: str
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    sd: float = 1.0
    masked: bool = False


@dataclass(frozen=True)
class Choice:
    """A setting in words.

    Args:
        name: what is set.
        value: what it is set to.
        why: the reason.
    """

    name: str
    value: str
    why: str


@dataclass(frozen=True)
class Plan:
    """Settings of a bundle.

    Args:
        network: "xlstm" or "msvm".
        spatial_dims: axes of the network's input.
        axes: where the axes of a volume point to for the network; the slice axis first for "xlstm", last for "msvm".
        patch_size: size of the network's input.
        batch_size: patches in a batch.
        normalisation: of the intensities.
        estimate_gib: memory that a training needs by our estimate, in GiB.
        pixdim: target spacing along ``axes`` in mm; None where nothing is resampled by spacing.
        median_shape: median size at this spacing.
        topology: stages of the network; None for MSVM-UNet, which has its own.
        augmented_size: what is cut before the rotation.
        degrees: largest angle of rotation to either side.
        in_plane: whether augmentation stays within the slices.
        supervision: weights of the outputs, finest first.
        choices: all of this in words.
    """

    network: str
    spatial_dims: int
    axes: str
    patch_size: tuple[int, ...]
    batch_size: int
    normalisation: Normalisation
    estimate_gib: float
    pixdim: tuple[float, ...] | None = None
    median_shape: tuple[int, ...] = ()
    topology: Topology | None = None
    augmented_size: tuple[int, ...] = ()
    degrees: int = 0
    in_plane: bool = False
    supervision: tuple[float, ...] = ()
    choices: tuple[Choice, ...] = field(default_factory=tuple)


Fit = Callable[[Topology, Sequence[float], Sequence[int]], tuple[Topology, str]]
"""Takes the planned stages, the target spacing and the median shape; gives stages, and a reason if they are others."""


def plan(
    measurement: Measurement, memory: Memory, network: str = "xlstm", variant: str = "bot", fit: Fit | None = None
) -> Plan:
    """Plan a bundle.

    Args:
        measurement: the data set.
        memory: what a training may use.
        network: "xlstm" or "msvm".
        variant: of xLSTM-UNet, "bot" or "enc".
        fit: may make xLSTM-UNet smaller, such as :meth:`scripts.new.short.Budget.fit`.

    Raises:
        UserError: if the smallest patch or batch does not fit into the memory, or CT has no labelled voxel to take its
            bounds from.
    """
    if network == "msvm":
        return _plan_msvm(measurement, memory)
    return _plan_xlstm(measurement, memory, variant, fit)


def slice_order(measurement: Measurement) -> tuple[int, ...]:
    """Order of the axes superior, posterior, left with the coarsest one, across the slices, first.

    The superior axis stays first where no axis is coarser. Where cases are single slices, these decide.
    """
    spacing = np.median(measurement.spacings, axis=0)
    single = [axis for axis in range(3) if any(shape[axis] == 1 for shape in measurement.shapes)]
    worst = single[0] if single else int(np.argmax(np.round(spacing / spacing.min(), 2)))
    return (worst, *(axis for axis in range(3) if axis != worst))


def _plan_xlstm(measurement: Measurement, memory: Memory, variant: str, fit: Fit | None) -> Plan:
    dims = measurement.spatial_dims
    order = slice_order(measurement) if dims == 3 else (0, 1)
    spacings = [[spacing[axis] for axis in order] for spacing in measurement.spacings]
    shapes = [[shape[axis] for axis in order] for shape in measurement.shapes]
    if dims == 3 and min(shape[0] for shape in shapes) == 1:
        raise UserError("some cases have a single slice, which a 3D network cannot use: start from --from msvm_acdc")
    pixdim = target_spacing(spacings, shapes)
    pixdim = tuple(round(value, 4) for value in pixdim)
    median = resampled_median(spacings, shapes, pixdim)

    def gib(found: Topology, batch: int) -> float:
        return xlstm_gib(found, batch, len(measurement.channels), len(measurement.classes), memory.mixed, variant)

    found, batch, why = _largest(pixdim, median, memory, gib)
    stages_why = (
        "an axis is halved while 4 voxels or more are left and its spacing is within a factor of 2 of the finest"
    )
    if fit is not None:
        found, smaller_why = fit(found, pixdim, median)
        why, stages_why = smaller_why or why, smaller_why or stages_why
    batch, batch_why = _batch(measurement, found, median, batch, memory, lambda size: gib(found, size))
    in_plane = is_anisotropic(found.patch_size)
    axes = "".join("SPL"[axis] for axis in order) if dims == 3 else ""
    normalisation = _normalisation(measurement)
    result = Plan(
        network="xlstm",
        spatial_dims=dims,
        axes=axes,
        patch_size=found.patch_size,
        batch_size=batch,
        normalisation=normalisation,
        estimate_gib=gib(found, batch),
        pixdim=pixdim if dims == 3 else None,
        median_shape=median,
        topology=found,
        augmented_size=augmented_size(found.patch_size),
        degrees=degrees(found.patch_size),
        in_plane=in_plane,
        supervision=supervision_weights(len(found.strides)),
    )
    choices = [
        *_spacing_choices(result, spacings),
        Choice("patch", _times(found.patch_size), why),
        Choice(
            "stages",
            f"{len(found.strides)}, features {' '.join(map(str, found.features))}",
            stages_why,
        ),
        Choice("strides", _per_stage(found.strides), "from the same rule"),
        Choice(
            "kernels",
            _per_stage(found.kernel_sizes),
            "1 along an axis as long as its spacing is twice that of the finest or more",
        ),
        Choice("batch", str(batch), batch_why),
        Choice("memory", f"{result.estimate_gib:.1f} GiB", f"estimate for a training; {memory}"),
        Choice("intensities", *_normalisation_words(normalisation)),
        Choice(
            "augmentation",
            f"rotation ±{result.degrees}°" + (" within the slices" if in_plane else ""),
            "the patch is more than three times longer than thick" if in_plane else "nnU-Net's angle for such a patch",
        ),
        Choice("loss weights", " ".join(f"{w:g}" for w in result.supervision), "deep supervision: 1, ½, ¼, …, then 0"),
    ]
    return replace(result, choices=tuple(choices))


def _plan_msvm(measurement: Measurement, memory: Memory) -> Plan:
    def gib(batch: int) -> float:
        return msvm_gib(SLICE_SIZE, batch)

    if gib(SMALLEST_BATCH) > memory.gib:
        raise UserError(
            f"MSVM-UNet needs about {gib(SMALLEST_BATCH):.1f} GiB for a batch of {SMALLEST_BATCH}, but {memory}: give "
            f"more with --memory"
        )
    batch = max(size for size in range(SMALLEST_BATCH, FULL_BATCH + 1) if gib(size) <= memory.gib)
    axes = ""
    if measurement.spatial_dims == 3:
        first, *others = slice_order(measurement)
        axes = "".join("SPL"[axis] for axis in (*others, first))
    normalisation = _normalisation(measurement, unit=True)
    result = Plan("msvm", 2, axes, SLICE_SIZE, batch, normalisation, gib(batch))
    size = (
        "slices are resized to it, and predictions back" if axes else "pictures are resized to it, and predictions back"
    )
    choices = [
        *([Choice("slices", f"across the axis {'–'.join(_ends(axes[-1]))}", "the coarsest axis")] if axes else []),
        Choice("size", _times(SLICE_SIZE), f"that of the published recipe; {size}"),
        Choice("batch", str(batch), f"as many as fit, at most the {FULL_BATCH} of the published recipe"),
        Choice("memory", f"{result.estimate_gib:.1f} GiB", f"estimate for a training; {memory}"),
        Choice("intensities", *_normalisation_words(normalisation)),
    ]
    return replace(result, choices=tuple(choices))


def _largest(
    pixdim: tuple[float, ...],
    median: tuple[int, ...],
    memory: Memory,
    gib: Callable[[Topology, int], float],
) -> tuple[Topology, int, str]:
    """Largest patch of which the reference batch fits; where none is small enough for it, of which two fit."""
    for batch in (REFERENCE_BATCH[len(pixdim)], SMALLEST_BATCH):
        found: Topology | None = topology(pixdim, first_patch(pixdim, median))
        steps = 0
        while found is not None:
            if gib(found, batch) <= memory.gib:
                why = f"the shape of the median case {_times(median)}"
                return found, batch, f"{why}, made smaller until a batch of {batch} fits" if steps else why
            last, found, steps = found, smaller(pixdim, found, median), steps + 1
    raise UserError(
        f"the smallest patch {_times(last.patch_size)} needs about {gib(last, SMALLEST_BATCH):.1f} GiB, but {memory}: "
        f"give more with --memory"
    )


def _batch(
    measurement: Measurement,
    found: Topology,
    median: tuple[int, ...],
    start: int,
    memory: Memory,
    gib: Callable[[int], float],
) -> tuple[int, str]:
    voxels = math.prod(median) * len(measurement.shapes)
    limit = max(SMALLEST_BATCH, round(LARGEST_SHARE * voxels / math.prod(found.patch_size)))
    batch = min(start, limit)
    while batch < limit and gib(batch + 1) <= memory.gib:
        batch += 1
    if batch == limit and gib(batch + 1) <= memory.gib:
        share = "a batch shows at most 5 % of the data set's voxels" if limit > SMALLEST_BATCH else "the smallest one"
        return batch, share if limit == SMALLEST_BATCH else f"{share}, though more would fit"
    return batch, "as many as fit"


def _normalisation(measurement: Measurement, unit: bool = False) -> Normalisation:
    found = measurement.intensities
    if measurement.modality == "CT":
        if found is None or found.high <= found.low:
            raise UserError("the bounds of CT come from the labelled voxels, but these have no range of intensities")
        return Normalisation("ct", *(round(v, 2) for v in (found.low, found.high, found.mean, max(found.sd, 0.01))))
    if unit:
        return Normalisation("minimum-maximum" if measurement.spatial_dims == 3 else "8 bit")
    return Normalisation("z-score", masked=measurement.kept < MASKED_BELOW)


def _normalisation_words(found: Normalisation) -> tuple[str, str]:
    bounds = f"clipped to {found.low:g} … {found.high:g}"
    return {
        "ct": (
            f"{bounds}, mean {found.mean:g}, standard deviation {found.sd:g}",
            "CT has an absolute scale: percentiles 0.5 and 99.5, mean and deviation of the labelled voxels",
        ),
        "z-score": (
            "z-score of each channel of each image" + (", over what is not 0" if found.masked else ""),
            "the scale is not absolute"
            + (", and more than a quarter of the images are empty margins" if found.masked else ""),
        ),
        "minimum-maximum": ("each image from its minimum to its maximum", "the recipe works on 0 … 1"),
        "8 bit": ("0 … 255 to 0 … 1", "the recipe works on 0 … 1"),
    }[found.kind]


def _spacing_choices(result: Plan, spacings: list[list[float]]) -> list[Choice]:
    if result.pixdim is None:
        return []
    tenth = result.pixdim[0] < 0.999 * np.median(spacings, axis=0)[0]
    why = "the median of the cases"
    if tenth:
        why += f"; across the slices, which are more than {ANISOTROPY:g} times thicker, the 10th percentile"
    spacing = " × ".join(f"{value:g}" for value in result.pixdim)
    return [
        Choice("axes", result.axes, f"the coarsest axis first: slices lie across {'–'.join(_ends(result.axes[0]))}"),
        Choice("spacing", f"{spacing} mm", why),
    ]


def _ends(axis: str) -> tuple[str, str]:
    return {"S": ("inferior", "superior"), "P": ("anterior", "posterior"), "L": ("right", "left")}[axis]


def _times(sizes: tuple[int, ...]) -> str:
    return " × ".join(map(str, sizes))


def _per_stage(values: tuple[tuple[int, ...], ...]) -> str:
    return " ".join(str(v[0]) if len(set(v)) == 1 else "(" + ",".join(map(str, v)) + ")" for v in values)
