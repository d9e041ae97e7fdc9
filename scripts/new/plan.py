"""From what was measured to the settings of a bundle, by nnU-Net's published rules, with the reason of each choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..errors import UserError
from ..memory import Memory, msvm_gib, xlstm_gib
from .configurations import CASCADE, LOW
from .frame import Frame, frame_of, full_and_low, room_of, slice_order
from .presets import SMALLEST_BATCH
from .reasons import Choice, Reasons, ends, memory_why, normalisation_words, times, xlstm_choices
from .search import Found, Room, batched, search
from .summary import Intensities, Measurement
from .topology import Topology, augmented_size, degrees, is_anisotropic, supervision_weights

AS_IT_IS = -1.0
"""Spacing across the slices where slices are not resampled."""
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
            "z-score" (each channel of each image by itself), "minimum-maximum" (the same, to 0 … 1), "8 bit" (0 … 255
            to 0 … 1), "none" or "by channel".
        low: lower bound, "ct" only.
        high: upper bound, "ct" only.
        mean: what is subtracted, "ct" only.
        sd: what is divided by, "ct" only.
        masked: whether a z-score counts only what is not 0.
        channels: that of each channel, "by channel" only.
    """

    kind: str
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    sd: float = 1.0
    masked: bool = False
    channels: tuple[Normalisation, ...] = ()

    @property
    def absolute(self) -> bool:
        """Whether the scale of the files is kept, in one channel at least."""
        return self.kind == "ct" or any(channel.absolute for channel in self.channels)


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
        configuration: one of :data:`.configurations.CONFIGURATIONS`; empty for pictures and for MSVM-UNet.
        batch_dice: whether the Dice loss is that of all patches of a batch together; None keeps the recipe's.
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
    median_shape: tuple[float, ...] = ()
    topology: Topology | None = None
    augmented_size: tuple[int, ...] = ()
    degrees: int = 0
    in_plane: bool = False
    supervision: tuple[float, ...] = ()
    configuration: str = ""
    batch_dice: bool | None = None
    choices: tuple[Choice, ...] = field(default_factory=tuple)


Fit = Callable[[Topology, Sequence[float], Sequence[float]], tuple[Topology, str]]
"""Takes the planned stages, the target spacing and the median shape; gives stages, and a reason if they are others."""


def plan(
    measurement: Measurement,
    memory: Memory,
    network: str = "xlstm",
    variant: str = "bot",
    fit: Fit | None = None,
    configuration: str = "3d",
    planner: str | None = None,
    widths: tuple[int, ...] = (),
) -> Plan:
    """Plan a bundle.

    Args:
        measurement: the data set.
        memory: what a training may use.
        network: "xlstm" or "msvm".
        variant: of xLSTM-UNet, "bot" or "enc".
        fit: may make xLSTM-UNet smaller, such as :meth:`scripts.new.short.Budget.fit`.
        configuration: of xLSTM-UNet for volumes, one of :data:`.configurations.CONFIGURATIONS`.
        planner: of nnU-Net, one of :data:`.presets.PRESETS`, whose rule gives patch and batch of xLSTM-UNet; None to
            fill the memory by our estimate.
        widths: features of the stages of xLSTM-UNet, which has no more stages than that; patch and batch stay those of
            nnU-Net's features and stages.

    Raises:
        UserError: if the smallest patch or batch does not fit into the memory, nnU-Net would plan no such
            configuration, or CT has no labelled voxel to take its bounds from.
    """
    if network == "msvm":
        return _plan_msvm(measurement, memory)
    return _plan_xlstm(measurement, memory, variant, fit, configuration, planner, widths)


def _searched(
    frame: Frame, room: Room, configuration: str
) -> tuple[Found, tuple[float, ...], tuple[float, ...], bool | None]:
    """Patch and batch of a configuration, its target spacing and median shape, and whether its Dice is of the batch."""
    pixdim, median = frame.pixdim, frame.median
    if not configuration:
        return search(pixdim, median, frame.voxels, room), pixdim, median, None
    if configuration == "2d":
        pixdim, median = pixdim[1:], median[1:]
        return search(pixdim, median, frame.voxels, room), pixdim, median, True
    if frame.flat:
        raise UserError(
            "some cases have a single slice, which a 3D network cannot use: give --configuration 2d, or start from "
            "--from msvm_acdc"
        )
    full, low = full_and_low(frame, room)
    if low is None and configuration in (LOW, CASCADE):
        raise UserError(
            "nnU-Net plans no low resolution for these data, as the patch covers enough of the median case at the full "
            "one: give --configuration 3d"
        )
    if configuration == LOW:
        return low.found, low.pixdim, low.median, False
    return full, pixdim, median, low is not None


def _plan_xlstm(
    measurement: Measurement,
    memory: Memory,
    variant: str,
    fit: Fit | None,
    configuration: str,
    planner: str | None,
    widths: tuple[int, ...],
) -> Plan:
    volumes = measurement.spatial_dims == 3
    frame, room = frame_of(measurement), room_of(measurement, memory, variant, planner)
    configuration = configuration if volumes else ""
    chosen, pixdim, median, batch_dice = _searched(frame, room, configuration)
    smaller_why = ""
    chosen = replace(chosen, topology=chosen.topology.within(widths))
    if fit is not None:
        made, smaller_why = fit(chosen.topology, pixdim, median)
        chosen = batched(made, frame.voxels, room, chosen.start)
    found, batch = chosen.topology, chosen.batch
    previous = len(measurement.foreground) if configuration == CASCADE else 0
    channels = len(measurement.channels) + previous
    gib = xlstm_gib(found, batch, channels, len(measurement.classes), memory.mixed, variant)
    in_plane = is_anisotropic(found.patch_size)
    axes = "".join("SPL"[axis] for axis in frame.order) if volumes else ""
    normalisation = _normalisation(measurement)
    rounded = tuple(round(value, 4) for value in pixdim)
    result = Plan(
        network="xlstm",
        spatial_dims=len(pixdim),
        axes=axes,
        patch_size=found.patch_size,
        batch_size=batch,
        normalisation=normalisation,
        estimate_gib=gib,
        pixdim=(AS_IT_IS, *rounded) if configuration == "2d" else rounded if volumes else None,
        median_shape=median,
        topology=found,
        augmented_size=augmented_size(found.patch_size),
        degrees=degrees(found.patch_size),
        in_plane=in_plane,
        supervision=supervision_weights(len(found.strides)),
        configuration=configuration,
        batch_dice=batch_dice,
    )
    why = Reasons(frame.spacings, chosen, room, memory_why(memory, planner, gib), smaller_why, bool(widths))
    return replace(result, choices=tuple(xlstm_choices(result, why)))


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
        *([Choice("slices", f"across the axis {'–'.join(ends(axes[-1]))}", "the coarsest axis")] if axes else []),
        Choice("size", times(SLICE_SIZE), f"that of the published recipe; {size}"),
        Choice("batch", str(batch), f"as many as fit, at most the {FULL_BATCH} of the published recipe"),
        Choice("memory", f"{result.estimate_gib:.1f} GiB", f"estimate for a training; {memory}"),
        Choice("intensities", *normalisation_words(normalisation)),
    ]
    return replace(result, choices=tuple(choices))


def _normalisation(measurement: Measurement, unit: bool = False) -> Normalisation:
    count = len(measurement.channels)
    schemes = measurement.schemes or ("ct" if measurement.modality == "CT" else "z-score",) * count
    if unit and schemes != ("ct",) * count:
        return Normalisation("minimum-maximum" if measurement.spatial_dims == 3 else "8 bit")
    if unit or schemes == ("ct",):
        return _ct(measurement.intensities)
    masked = measurement.kept < MASKED_BELOW
    if set(schemes) == {"z-score"}:
        return Normalisation("z-score", masked=masked)
    by_channel = measurement.by_channel or (measurement.intensities,) * count
    if "ct" not in schemes:
        by_channel = (None,) * count
    return Normalisation(
        "by channel",
        channels=tuple(
            _ct(found) if scheme == "ct" else Normalisation(scheme, masked=masked and scheme == "z-score")
            for scheme, found in zip(schemes, by_channel, strict=True)
        ),
    )


def _ct(found: Intensities | None) -> Normalisation:
    if found is None or found.high <= found.low:
        raise UserError("the bounds of CT come from the labelled voxels, but these all have the same intensity")
    return Normalisation("ct", *(round(v, 2) for v in (found.low, found.high, found.mean, max(found.sd, 0.01))))
