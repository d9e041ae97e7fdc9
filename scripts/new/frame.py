"""A data set as nnU-Net's planner sees it, and what its patches and batches are measured by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..memory import Memory, xlstm_gib
from .presets import preset
from .search import Found, LowResolution, MemoryRoom, NnunetRoom, Room, low_resolution, search
from .summary import Measurement
from .topology import resampled_median, target_spacing


def slice_order(measurement: Measurement) -> tuple[int, ...]:
    """Order of the axes superior, posterior, left with the coarsest one, across the slices, first.

    The superior axis stays first where no axis is coarser. Where cases are single slices, these decide.
    """
    spacing = np.median(measurement.spacings, axis=0)
    single = [axis for axis in range(3) if any(shape[axis] == 1 for shape in measurement.shapes)]
    worst = single[0] if single else int(np.argmax(np.round(spacing / spacing.min(), 4)))
    return (worst, *(axis for axis in range(3) if axis != worst))


@dataclass(frozen=True)
class Frame:
    """Sizes of the cases as nnU-Net's planner sees them.

    Args:
        order: places of the axes superior, posterior, left, the slice axis first; of pictures height and width.
        spacings: of each case along these axes in mm.
        pixdim: target spacing.
        median: median size at this spacing.
        cases: number of cases.
        flat: whether the cases are single slices, or some of them.
    """

    order: tuple[int, ...]
    spacings: list[list[float]]
    pixdim: tuple[float, ...]
    median: tuple[float, ...]
    cases: int
    flat: bool

    @property
    def voxels(self) -> float:
        """Voxels of the data set at the target spacing."""
        return float(np.prod(self.median)) * self.cases


def frame_of(measurement: Measurement) -> Frame:
    """Sizes of the cases that are not for test."""
    order = slice_order(measurement) if measurement.spatial_dims == 3 else (0, 1)
    spacings = [[spacing[axis] for axis in order] for spacing in measurement.spacings]
    shapes = [[shape[axis] for axis in order] for shape in measurement.shapes]
    pixdim = target_spacing(spacings, shapes)
    median = resampled_median(spacings, shapes, pixdim)
    flat = len(order) == 3 and min(shape[0] for shape in shapes) == 1
    return Frame(order, spacings, pixdim, median, len(shapes), flat)


def room_of(measurement: Measurement, memory: Memory, variant: str, planner: str | None) -> Room:
    """What patch and batch are measured by: a planner of nnU-Net, or None for our estimate of the memory."""
    classes = len(measurement.classes)
    if planner is not None:
        ignored = measurement.labelling.ignore is not None  # which nnU-Net counts as an output
        return NnunetRoom(preset(planner), classes + ignored)
    channels = len(measurement.channels)
    return MemoryRoom(memory, lambda found, batch: xlstm_gib(found, batch, channels, classes, memory.mixed, variant))


def full_and_low(frame: Frame, room: Room) -> tuple[Found, LowResolution | None]:
    """Patch and batch in space, at the full resolution and at a lower one where one is needed."""
    full = search(frame.pixdim, frame.median, frame.voxels, room)
    return full, low_resolution(frame.pixdim, frame.median, frame.cases, full, room)
