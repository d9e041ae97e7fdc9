"""The search for the largest patch and batch, and for a lower resolution, in the order of nnU-Net's planner."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import UserError
from ..memory import Memory
from .presets import REFERENCE_BATCH, SMALLEST_BATCH, Preset
from .topology import Topology, first_patch, smaller, topology

LARGEST_SHARE = 0.05
"""A batch shows at most this part of the voxels of the data set."""
LOW_BELOW = 0.25
"""A lower resolution is planned where the patch covers less than this part of the median case."""
LOW_STEP = 1.03
"""The spacing of the lower resolution grows by this factor until the patch covers enough."""
LOW_FEWER = 2
"""The lower resolution is dropped unless it reduces the voxels of the median case by this factor."""


class Room(Protocol):
    """How many patches fit into the memory."""

    @property
    def share(self) -> float:
        """A batch shows at most this part of the voxels of the data set."""

    def starts(self, dims: int) -> Sequence[int]:
        """Batches that the patch is made small for: the first that any patch is small enough for is taken."""

    def most(self, found: Topology) -> int:
        """How many patches fit."""

    def fits(self, found: Topology, batch: int) -> bool:
        """Whether a batch of this size fits."""

    def too_little(self, found: Topology) -> UserError:
        """The error where not even the smallest patch fits."""


@dataclass(frozen=True)
class NnunetRoom:
    """By the size of nnU-Net's own network.

    Args:
        preset: its planner.
        classes: background included.
    """

    preset: Preset
    classes: int

    @property
    def share(self) -> float:
        """See :class:`Room`."""
        return self.preset.share

    def starts(self, dims: int) -> Sequence[int]:
        """See :class:`Room`."""
        return (self.preset.start_batch(dims),)

    def most(self, found: Topology) -> int:
        """See :class:`Room`; rounded."""
        return round(self.preset.most(found, self.classes))

    def fits(self, found: Topology, batch: int) -> bool:
        """See :class:`Room`."""
        return self.preset.most(found, self.classes) >= batch

    def too_little(self, found: Topology) -> UserError:
        """See :class:`Room`."""
        size = " × ".join(map(str, found.patch_size))
        return UserError(
            f"the smallest patch {size} is too large for {self.preset.title} with {self.classes} classes: "
            f"give the memory of your GPU with --memory"
        )


@dataclass(frozen=True)
class MemoryRoom:
    """By an estimate of the memory of our networks.

    Args:
        memory: what a training may use.
        gib: estimate for a number of patches.
    """

    memory: Memory
    gib: Callable[[Topology, int], float]
    share: float = LARGEST_SHARE

    def starts(self, dims: int) -> Sequence[int]:
        """See :class:`Room`."""
        return REFERENCE_BATCH[dims], SMALLEST_BATCH

    def most(self, found: Topology) -> int:
        """See :class:`Room`; the estimate is linear in the batch."""
        fixed = self.gib(found, 0)
        count = int((self.memory.gib - fixed) / (self.gib(found, 1) - fixed))
        return count if self.fits(found, count) else count - 1

    def fits(self, found: Topology, batch: int) -> bool:
        """See :class:`Room`."""
        return self.gib(found, batch) <= self.memory.gib

    def too_little(self, found: Topology) -> UserError:
        """See :class:`Room`."""
        size = " × ".join(map(str, found.patch_size))
        return UserError(
            f"the smallest patch {size} needs about {self.gib(found, SMALLEST_BATCH):.1f} GiB, but {self.memory}: give "
            f"more with --memory"
        )


@dataclass(frozen=True)
class Found:
    """A patch and a batch.

    Args:
        topology: stages and patch.
        batch: patches in a batch.
        start: batch that the patch was made small for; 0 where it is the median case.
        limited: whether more would fit, but would show too much of the data set.
    """

    topology: Topology
    batch: int
    start: int
    limited: bool


def search(pixdim: Sequence[float], median: Sequence[float], voxels: float, room: Room) -> Found:
    """Find the largest patch, then the largest batch.

    Args:
        pixdim: target spacing in mm.
        median: median size at this spacing in voxels.
        voxels: of the whole data set at this spacing.
        room: the memory.

    Raises:
        UserError: if the smallest patch does not fit.
    """
    for start in room.starts(len(pixdim)):
        found: Topology | None = topology(pixdim, first_patch(pixdim, median))
        steps = 0
        while found is not None:
            if room.fits(found, start):
                return batched(found, voxels, room, start if steps else 0)
            last, found, steps = found, smaller(pixdim, found, median), steps + 1
    raise room.too_little(last)


def batched(found: Topology, voxels: float, room: Room, start: int) -> Found:
    """The largest batch of a patch.

    Args:
        found: stages and patch.
        voxels: of the whole data set.
        room: the memory.
        start: batch that the patch was made small for; 0 where it is the median case.
    """
    limit = max(SMALLEST_BATCH, round(room.share * voxels / math.prod(found.patch_size)))
    most = max(SMALLEST_BATCH, room.most(found))
    return Found(found, min(most, limit), start, most > limit)


@dataclass(frozen=True)
class LowResolution:
    """A lower resolution.

    Args:
        pixdim: its spacing in mm.
        median: median size at this spacing in voxels.
        found: patch and batch.
    """

    pixdim: tuple[float, ...]
    median: tuple[int, ...]
    found: Found


def low_resolution(
    pixdim: Sequence[float], median: Sequence[float], cases: int, full: Found, room: Room
) -> LowResolution | None:
    """The resolution at which a patch covers a quarter of the median case; None where the full one does, or nearly.

    The spacing grows step by step: of the axes first that are more than twice finer than the coarsest, then of all.

    Args:
        pixdim: spacing of the full resolution in mm.
        median: median size there.
        cases: number of cases.
        full: patch and batch of the full resolution.
        room: the memory.
    """
    fine, low = np.asarray(pixdim, dtype=float), np.array(pixdim, dtype=float)
    whole = left = math.prod(median)
    found: Found | None = None
    patch = math.prod(full.topology.patch_size)
    while patch / left < LOW_BELOW:
        finer = low.max() / low > 2
        low[finer if finer.any() else slice(None)] *= LOW_STEP
        size = fine / low * np.asarray(median)
        left = float(np.prod(size))
        shape = tuple(round(float(n)) for n in size)
        found = search(low.tolist(), shape, left * cases, room)
        patch = math.prod(found.topology.patch_size)
    if found is None or whole / left < LOW_FEWER:
        return None
    return LowResolution(tuple(low.tolist()), shape, found)
