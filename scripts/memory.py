"""How much memory a training needs, by our estimate, and how much there is.

The estimate counts the numbers in the feature maps that the backward pass keeps, and multiplies them by bytes that were
measured. Measured was the peak of what PyTorch allocated in a forward and a backward pass with the recipe's loss, on a
CPU, in float32 and in bfloat16 under autocast: xLSTM-UNet Bot and Enc, 2D and 3D, 4 to 6 stages, 0.4 to 1 million
voxels in a batch; MSVM-UNet with 2 and 4 slices of 224 × 224 and 2 of 320 × 320. With the constants below the estimate
is within 3 % of every peak in float32, and 2 to 13 % above it in mixed precision. It was not measured on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from components import machine

from .errors import UserError

GIB = 2**30
BYTES = {False: 16.8, True: 9.6}
"""Bytes for each number in a feature map of the convolutional part, in float32 and in mixed precision."""
NNUNET_GIB = 8.0
"""GPU memory that nnU-Net's default planner plans for."""
VIL_BYTES = 180.0
"""The same for the input of a ViL layer, which computes in float32 and keeps about 45 numbers for each."""
MSVM_BYTES = 6400.0
"""Bytes for each pixel of MSVM-UNet's input, in float32."""
FIXED_GIB = 1.5
"""Weights, gradients, the optimiser's momentum and an average of the weights (16 bytes for each of up to 48 million
parameters: 0.7 GiB), and what the libraries themselves need: on a CPU the process had 0.9 to 1.3 GB beside the maps."""
LARGEST_BATCH = 4096
"""Larger ones are not tried."""


class Stages(Protocol):
    """What the estimate needs of a U-Net: the stride into each stage, the channels of each, and the patch."""

    @property
    def strides(self) -> Sequence[Sequence[int]]: ...  # noqa: D102
    @property
    def features(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def patch_size(self) -> Sequence[int]: ...  # noqa: D102


@dataclass(frozen=True)
class _Stages:
    strides: Sequence[Sequence[int]]
    features: Sequence[int]
    patch_size: Sequence[int]


@dataclass(frozen=True)
class Memory:
    """Memory that a training may use.

    Args:
        gib: in GiB.
        mixed: whether the training runs in mixed precision, as the xlstm bundles do on a GPU.
        source: description of where the number comes from.
    """

    gib: float
    mixed: bool
    source: str

    def __str__(self) -> str:
        return f"{self.source}: {self.gib:.1f} GiB"


def budget(memory: float | str | None) -> Memory:
    """Memory to plan for.

    Args:
        memory: GiB of a GPU, "here" for this machine, or None for what nnU-Net's planner takes, so that a plan does not
            depend on where and when it is made.

    Raises:
        UserError: if it is neither, or the system does not report its memory.
    """
    if memory is None:
        return Memory(NNUNET_GIB, True, "of a GPU, as nnU-Net plans by default (--memory here: for this machine)")
    return available() if memory == "here" else given(memory)


def given(gib: float | str) -> Memory:
    """Memory as a user states it, that of a GPU.

    Raises:
        UserError: if it is not a positive number.
    """
    if isinstance(gib, str) or not 0 < gib < math.inf:
        raise UserError(f"--memory needs a number of GiB above 0, or 'here' for this machine, not {gib!r}")
    return Memory(float(gib), True, "given with --memory, of a GPU")


def available() -> Memory:
    """Memory of this machine: of its GPU if there is one for CUDA, or else what is free of its main memory.

    Raises:
        UserError: if the system does not report it.
    """
    import torch

    if torch.cuda.is_available():
        total = torch.cuda.mem_get_info()[1]
        return Memory(total / GIB, True, f"the GPU of this machine, {torch.cuda.get_device_name()}")
    free = machine.free_memory_bytes()
    if free is None:
        raise UserError("the system does not report how much memory is free: give the GiB with --memory")
    return Memory(free / GIB, False, "free main memory of this machine, which has no GPU for CUDA")


def xlstm_gib(
    found: Stages, batch: int, channels: int, classes: int, mixed: bool = True, variant: str = "bot"
) -> float:
    """Memory for a training of xLSTM-UNet in GiB.

    Args:
        found: its stages and its patch.
        batch: patches in a batch.
        channels: of the images.
        classes: background included.
        mixed: whether it runs in mixed precision.
        variant: "bot" or "enc".
    """
    dims, stages = len(found.patch_size), len(found.strides)
    maps = list(stage_numbers(found))
    full = math.ceil(stages / 2)  # stages with two blocks in encoder and decoder; the others have one
    numbers = 2 * maps[0] + sum(maps[:full]) + sum(maps)
    numbers += sum(maps[:-1]) + sum(list(reversed(maps[:-1]))[:full])
    numbers += sum(maps[0 if dims == 3 else 1 : -1])  # the skips beside which the decoder keeps its own maps
    vil = maps[-1]
    if variant == "enc":
        residual = range(3) if dims == 3 else range(1, 2)
        layers = [s for s in range(stages) if s not in residual and (dims == 3 or (s > 0 and (stages - s) % 2))]
        numbers += sum(maps[s] for s in residual if s < stages)
        vil = sum(maps[s] for s in layers)
    io = math.prod(found.patch_size) * (channels + 1 + classes) * 4
    return FIXED_GIB + batch * (BYTES[mixed] * numbers + VIL_BYTES * vil + io) / GIB


def stage_numbers(found: Stages) -> Sequence[float]:
    """Voxels × features of each stage's map for one patch."""
    size = [float(n) for n in found.patch_size]
    numbers = []
    for stride, width in zip(found.strides, found.features, strict=True):
        size = [n / step for n, step in zip(size, stride, strict=True)]
        numbers.append(math.prod(size) * width)
    return numbers


def msvm_gib(size: Sequence[int], batch: int) -> float:
    """Memory for a training of MSVM-UNet ("tiny_0230s", float32) in GiB.

    Args:
        size: height and width of its input.
        batch: slices in a batch.
    """
    return FIXED_GIB + batch * MSVM_BYTES * math.prod(size) / GIB


def bundle_gib(content: Mapping[str, Any], batch: int, mixed: bool) -> float:
    """Memory for a training of a bundle in GiB.

    Args:
        content: its train.json, with overrides.
        batch: patches or slices in a batch.
        mixed: whether in mixed precision; for MSVM-UNet there is an estimate for float32 only, which is used for both.
    """
    if "roi_size" in content:
        return msvm_gib(content["roi_size"], batch)
    network, patch = content["network_def"], tuple(content["patch_size"])
    strides = [(step,) * len(patch) if isinstance(step, int) else tuple(step) for step in network["strides"]]
    stages, classes = _Stages(strides, network["features"], patch), len(content["class_names"]) + 1
    return xlstm_gib(stages, batch, network["in_channels"], classes, mixed, content["variant"])


def largest_batch(content: Mapping[str, Any], mixed: bool, gib: float) -> int:
    """The largest batch whose training fits into ``gib`` GiB; 0 if not even one patch does."""
    return next((n for n in range(LARGEST_BATCH) if bundle_gib(content, n + 1, mixed) > gib), LARGEST_BATCH)
