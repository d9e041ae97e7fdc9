"""The planners of nnU-Net 2.8: how large a patch and a batch may be, by the size of the feature maps of its own U-Nets.

nnU-Net does not estimate bytes. It counts the numbers in the feature maps of its network for one patch, and compares
them with those of a network whose training is known to fit. Source: the planners of nnU-Net 2.8 (default, ResEnc M and
ResEnc L); the tests compare with what they plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UserError
from ..memory import stage_numbers
from .topology import Topology

SMALLEST_BATCH = 2
"""No batch has fewer patches."""
RESIDUAL_BLOCKS = (1, 3, 4, 6)
"""Blocks of the stages of the residual encoder; deeper ones have as many as the last."""
REFERENCE_BATCH = {2: 12, 3: 2}
"""Batch of the network that is known to fit, by the number of axes."""


@dataclass(frozen=True)
class Preset:
    """A planner of nnU-Net.

    Args:
        title: its name, in words.
        gigabytes: memory of the GPU that it plans for.
        numbers: numbers in the feature maps of the network that is known to fit, for one patch, by the number of axes.
        residual: whether the encoder is residual, or plain.
        share: a batch shows at most this part of the voxels of the data set.
        whole_batch: whether the patch shrinks until the reference batch fits, or until two patches fit.
    """

    title: str
    gigabytes: int
    numbers: Mapping[int, float]
    residual: bool = False
    share: float = 1.0
    whole_batch: bool = True

    def start_batch(self, dims: int) -> int:
        """Batch that has to fit while the patch is chosen."""
        return REFERENCE_BATCH[dims] if self.whole_batch else SMALLEST_BATCH

    def most(self, found: Topology, classes: int) -> float:
        """How many patches fit, not rounded.

        Args:
            found: stages and patch.
            classes: background included.
        """
        dims = len(found.patch_size)
        return self.numbers[dims] / feature_numbers(found, classes, self.residual) * REFERENCE_BATCH[dims]


PRESETS = {
    "default": Preset("nnU-Net's default planner", 8, {2: 85e6, 3: 560e6}, share=0.05, whole_batch=False),
    "resenc_m": Preset("nnU-Net's planner ResEnc M", 8, {2: 135e6, 3: 680e6}, residual=True),
    "resenc_l": Preset("nnU-Net's planner ResEnc L", 24, {2: 380e6, 3: 2100e6}, residual=True),
}


def preset(name: str) -> Preset:
    """A planner by its name.

    Raises:
        UserError: if there is none of this name.
    """
    if name not in PRESETS:
        raise UserError(f"--planner {name} is unknown: give one of {', '.join(PRESETS)}")
    return PRESETS[name]


def feature_numbers(found: Topology, classes: int, residual: bool) -> float:
    """Numbers in the feature maps of the convolutions of nnU-Net's network, for one patch.

    The plain encoder has two convolutions a stage, and so has the decoder. The residual one has a stem and blocks of
    two convolutions, the first of each stage but the finest with one more beside them; its decoder has one a stage. In
    both a transposed convolution leads to each stage of the decoder, and the finest one ends with the classes.

    Args:
        found: stages and patch.
        classes: background included.
        residual: which of the two.
    """
    maps = stage_numbers(found)
    skips = sum(maps[:-1])
    outputs = classes * math.prod(found.patch_size)
    if not residual:
        return 2 * sum(maps) + 3 * skips + outputs
    blocks = [RESIDUAL_BLOCKS[min(stage, len(RESIDUAL_BLOCKS) - 1)] for stage in range(len(maps))]
    encoder = maps[0] + sum(2 * count * numbers for count, numbers in zip(blocks, maps, strict=True)) + sum(maps[1:])
    return encoder + 2 * skips + outputs
