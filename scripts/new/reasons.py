"""What was planned, and why, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..memory import Memory
from .configurations import CASCADE, LOW
from .presets import SMALLEST_BATCH, preset
from .search import Found, Room
from .topology import ANISOTROPY

if TYPE_CHECKING:
    from .plan import Normalisation, Plan

STAGES_WHY = "an axis is halved while 4 voxels or more are left and its spacing is within a factor of 2 of the finest"


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
class Reasons:
    """What the reasons of a plan of xLSTM-UNet need beside the plan.

    Args:
        spacings: of each case in mm, along the axes of the plan.
        chosen: patch and batch that were found.
        room: what they were measured by.
        memory: what the memory was planned by, in words.
        smaller: why the network is smaller than planned; empty where it is not.
        kept_widths: whether the features are those of the bundle that the new one comes from.
    """

    spacings: list[list[float]]
    chosen: Found
    room: Room
    memory: str
    smaller: str = ""
    kept_widths: bool = False


def xlstm_choices(result: Plan, why: Reasons) -> list[Choice]:
    """All settings of a plan of xLSTM-UNet in words."""
    found = why.chosen.topology
    stages = STAGES_WHY + ("; features and no more stages than the bundle it comes from" if why.kept_widths else "")
    return [
        *previous_choices(result),
        *spacing_choices(result, why.spacings),
        Choice("patch", times(found.patch_size), why.smaller or patch_why(result.median_shape, why.chosen)),
        Choice(
            "stages",
            f"{len(found.strides)}, features {' '.join(map(str, found.features))}",
            why.smaller or stages,
        ),
        Choice("strides", per_stage(found.strides), "from the same rule"),
        Choice(
            "kernels",
            per_stage(found.kernel_sizes),
            "1 along an axis as long as its spacing is twice that of the finest or more",
        ),
        Choice("batch", str(result.batch_size), batch_why(why.chosen, why.room)),
        Choice("memory", f"{result.estimate_gib:.1f} GiB", why.memory),
        Choice("intensities", *normalisation_words(result.normalisation)),
        Choice(
            "augmentation",
            f"rotation ±{result.degrees}°" + (" within the slices" if result.in_plane else ""),
            "the patch is more than three times longer than thick"
            if result.in_plane
            else "nnU-Net's angle for such a patch",
        ),
        Choice("loss weights", " ".join(f"{w:g}" for w in result.supervision), "deep supervision: 1, ½, ¼, …, then 0"),
    ]


def previous_choices(result: Plan) -> list[Choice]:
    """The further input of a cascade; nothing for another network."""
    if result.configuration != CASCADE:
        return []
    return [Choice("input", f"the image, and the label map of {LOW} with a channel for each label", "a cascade")]


def patch_why(median: tuple[float, ...], chosen: Found) -> str:
    """Why the patch has its size."""
    why = f"the shape of the median case {times(median)}"
    return f"{why}, made smaller until a batch of {chosen.start} fits" if chosen.start else why


def batch_why(chosen: Found, room: Room) -> str:
    """Why the batch has its size."""
    if not chosen.limited:
        return "as many as fit"
    if chosen.batch == SMALLEST_BATCH:
        return "the smallest one"
    return f"a batch shows at most {100 * room.share:g} % of the data set's voxels, though more would fit"


def memory_why(memory: Memory, planner: str | None, gib: float) -> str:
    """What the memory was planned by.

    Args:
        memory: what was given.
        planner: of nnU-Net; None where the memory decided.
        gib: what a training needs by our estimate.
    """
    if planner is None:
        return f"estimate for a training; {memory}"
    found = preset(planner)
    more = f"; for a GPU of {found.gigabytes} GB give --memory {found.gigabytes}" if gib > found.gigabytes else ""
    return (
        f"our estimate for a training; patch and batch are those of {found.title}, which plans for "
        f"{found.gigabytes} GB by the feature maps of its own network{more}"
    )


def normalisation_words(found: Normalisation) -> tuple[str, str]:
    """The normalisation, and its reason."""
    if found.kind == "by channel":
        parts = [normalisation_words(channel)[0].replace("each channel of ", "") for channel in found.channels]
        return "; ".join(f"channel {n}: {part}" for n, part in enumerate(parts)), "by the names of the channels"
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
        "none": ("as they are", "the name of the channel asks for it"),
        "minimum-maximum": ("each image from its minimum to its maximum", "the recipe works on 0 … 1"),
        "8 bit": ("0 … 255 to 0 … 1", "the recipe works on 0 … 1"),
    }[found.kind]


def spacing_choices(result: Plan, spacings: list[list[float]]) -> list[Choice]:
    """Axes and spacing of volumes; none for pictures."""
    if result.pixdim is None:
        return []
    tenth = 0 < result.pixdim[0] < 0.999 * np.median(spacings, axis=0)[0]
    why = "the median of the cases"
    if result.configuration == "2d":
        why += ", within the slices"
    elif result.configuration == "3d_lowres":
        why = "enlarged until a patch covers a quarter of the median case"
    elif tenth:
        why += f"; across the slices, which are more than {ANISOTROPY:g} times thicker, the 10th percentile"
    spacing = " × ".join(f"{value:g}" if value > 0 else "as it is" for value in result.pixdim)
    return [
        Choice("axes", result.axes, f"the coarsest axis first: slices lie across {'–'.join(ends(result.axes[0]))}"),
        Choice("spacing", f"{spacing} mm", why),
    ]


def ends(axis: str) -> tuple[str, str]:
    """Where an axis comes from and where it points to."""
    return {"S": ("inferior", "superior"), "P": ("anterior", "posterior"), "L": ("right", "left")}[axis]


def times(sizes: tuple[float, ...]) -> str:
    """A size in words."""
    return " × ".join(f"{size:g}" for size in sizes)


def per_stage(values: tuple[tuple[int, ...], ...]) -> str:
    """Strides or kernels in words."""
    return " ".join(str(v[0]) if len(set(v)) == 1 else "(" + ",".join(map(str, v)) + ")" for v in values)
