"""xLSTM-UNet: a residual U-Net with Vision-LSTM layers, 2D and 3D (Chen et al., 2024, arXiv 2407.01530)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from monai.utils import ensure_tuple_rep
from torch import Tensor, nn

from ..blocks.residual import ResidualBlock, ResidualUpBlock, convolution, init_convolutions, residual_blocks
from ..blocks.vil import ViLLayer
from ..executor import Executor, executing
from ..validation import check_choice
from .inputs import plain

VARIANTS = ("bot", "enc")
PerAxis = int | Sequence[int]


class XLSTMUNet(nn.Module):
    """xLSTM-UNet in its variants Bot and Enc; the plan of stages is nnU-Net's.

    A stem and n stages of residual blocks lead down. Bot has one ViL layer behind the last stage. Enc has a layer
    behind every stage: in 3D a residual block behind the first three, then ViL; in 2D nothing, a residual block, then
    ViL where stage and n differ in parity. Where the map of the planned patch has no more voxels than features, the ViL
    layer of Enc takes channels as tokens, and the network accepts that patch size only.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: number of classes, background included.
        variant: "bot" or "enc".
        patch_size: planned size of the input for each axis; divisible by the product of the strides.
        features: channels of each stage.
        kernel_sizes: odd kernel size of each stage, a number or one for each axis.
        strides: stride into each stage, a number or one for each axis; the first is 1.
        blocks_per_stage: residual blocks of each stage, a number or one for each stage. The deeper half of the stages
            has 1, as published, whatever is asked for.
        decoder_blocks_per_stage: the same for the n − 1 decoder stages, coarsest first; there the finer half has 1.
        deep_supervision: whether training returns the logits of all decoder stages, finest first. Without it the
            coarser heads are frozen: they are kept for the checkpoints of both kinds, but nothing trains them.
        use_checkpoint: activation checkpointing: in training recompute blocks in the backward pass instead of keeping
            their activations: those of all stages, or, for a number k, of the k finest stages of the encoder and the
            decoder, which take most of the memory.

    Shape:
        (B, in_channels, *spatial) to logits (B, out_channels, *spatial); in training mode with deep supervision a list
        of them, each of its decoder stage's size.

    Raises:
        ValueError: for wrong arguments, and in ``forward`` for an input that does not fit.

    Example:
        >>> network = XLSTMUNet(2, 1, 3, "bot", (32, 32), (8, 16, 32), kernel_sizes=[3] * 3, strides=[1, 2, 2])
        >>> network(torch.zeros(1, 1, 32, 32)).shape
        torch.Size([1, 3, 32, 32])
    """

    # Kernels that see the input's channels, and lists of stages that begin with the coarsest: see load_pretrained.
    input_weights: ClassVar[tuple[str, ...]] = ("stem.0.conv1.weight", "stem.0.shortcut.weight")
    coarsest_first: ClassVar[tuple[str, ...]] = ("decoder", "heads")

    # The authors' parameter names in ours: substitutions in this order; None for a tensor that has no effect.
    published_names: ClassVar[tuple[tuple[str, str | None], ...]] = (
        (r"^decoder\.encoder\.", "encoder."),
        (r"^(encoder\.xlstm_layers\.\d+|xlstm)\.norm\.(weight|bias)$", None),
        (r"\.all_modules\.0\.", ".conv."),
        (r"\.all_modules\.1\.", ".norm."),
        (r"\.conv([12])\.(conv|norm)\.", r".\g<2>\1."),
        (r"\.conv3\.", ".shortcut."),
        (r"^encoder\.(stem|stages)\.", r"\1."),
        (r"^encoder\.xlstm_layers\.", "stage_layers."),
        (r"^xlstm\.", "bottleneck."),
        (r"\.vil\.layer\.", ".block."),
        (r"\.vil\.norm\.", ".block.norm."),
        (r"\.learnable_skip$", ".skip"),
        (r"\.proj_(up|down)\.", r".\1."),
        (r"\.([qkv])_proj\.", r".\1."),
        (r"\.conv1d\.conv\.", ".conv."),
        (r"\.mlstm_cell\.igate\.", ".input_gate."),
        (r"\.mlstm_cell\.fgate\.", ".forget_gate."),
        (r"\.mlstm_cell\.outnorm\.", ".cell_norm."),
        (r"^decoder\.stages\.(\d+)\.", r"decoder.\1.blocks."),
        (r"^decoder\.upsample_layers\.(\d+)\.conv\.", r"decoder.\1.project."),
        (r"^decoder\.seg_layers\.", "heads."),
    )

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        variant: str,
        patch_size: Sequence[int],
        features: Sequence[int],
        kernel_sizes: Sequence[PerAxis],
        strides: Sequence[PerAxis],
        blocks_per_stage: PerAxis = 2,
        decoder_blocks_per_stage: PerAxis = 2,
        deep_supervision: bool = False,
        use_checkpoint: bool | int = False,
    ) -> None:
        super().__init__()
        check_choice("variant", variant, VARIANTS)
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}")
        if in_channels < 1 or out_channels < 1:
            raise ValueError(f"in_channels and out_channels must be at least 1, got {in_channels} and {out_channels}")
        n = len(features)
        if n < 2 or min(features) < 1:
            raise ValueError(f"features must be the widths of at least 2 stages, got {list(features)}")
        kernels = _per_stage("kernel_sizes", kernel_sizes, n, spatial_dims)
        steps = _per_stage("strides", strides, n, spatial_dims)
        if any(size % 2 == 0 for kernel in kernels for size in kernel):
            raise ValueError(f"kernel_sizes must be odd, got {list(kernel_sizes)}")
        if max(steps[0]) > 1:
            raise ValueError(f"the stride into the first stage must be 1, got {strides[0]}")
        if not 0 <= use_checkpoint <= n:
            raise ValueError(f"use_checkpoint must be true, false or from 0 to {n} stages, got {use_checkpoint}")
        recomputed = n if use_checkpoint is True else int(use_checkpoint)
        blocks = _counts("blocks_per_stage", blocks_per_stage, n, math.ceil(n / 2))
        decoder_blocks = _counts("decoder_blocks_per_stage", decoder_blocks_per_stage, n - 1, math.ceil(n / 2))

        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.deep_supervision, self.use_checkpoint = deep_supervision, use_checkpoint
        self._recomputed = recomputed
        self.total_stride = tuple(math.prod(axis) for axis in zip(*steps, strict=True))
        self.patch_size = tuple(patch_size)
        self.fixed_size = False
        if len(self.patch_size) != spatial_dims or any(
            size < 1 or size % stride for size, stride in zip(self.patch_size, self.total_stride, strict=True)
        ):
            needed = " × ".join(map(str, self.total_stride))
            raise ValueError(f"patch_size must be {spatial_dims} sizes divisible by {needed}, got {list(patch_size)}")

        self.stem = residual_blocks(spatial_dims, in_channels, features[0], kernels[0], count=blocks[0])
        widths = [features[0], *features]
        self.stages = nn.ModuleList(
            residual_blocks(spatial_dims, widths[s], features[s], kernels[s], steps[s], blocks[s]) for s in range(n)
        )
        self.stage_layers = nn.ModuleList(nn.Identity() for _ in range(n))
        if variant == "enc":
            maps = list(itertools.accumulate(steps, _divide, initial=self.patch_size))[1:]
            plan = zip(features, kernels, maps, strict=True)
            self.stage_layers = nn.ModuleList(self._stage_layer(s, n, *stage) for s, stage in enumerate(plan))
        self.bottleneck = ViLLayer(features[-1]) if variant == "bot" else nn.Identity()
        self.decoder = nn.ModuleList(
            ResidualUpBlock(
                spatial_dims,
                features[s + 1],
                features[s],
                steps[s + 1],
                kernels[s],
                count,
                takes_skip=s > 0 or spatial_dims == 3,
                use_checkpoint=s < recomputed,
            )
            for s, count in zip(reversed(range(n - 1)), decoder_blocks, strict=True)
        )
        self.heads = nn.ModuleList(convolution(spatial_dims, width, out_channels) for width in reversed(features[:-1]))
        self.heads[:-1].requires_grad_(deep_supervision)
        init_convolutions(self)

    def _stage_layer(self, s: int, n: int, width: int, kernel: Sequence[int], size: Sequence[int]) -> nn.Module:
        """The layer of Enc behind stage s of n, which has ``width`` channels and, in a planned patch, that size."""
        residual = range(1, 2) if self.spatial_dims == 2 else range(3)
        if s in residual:
            return ResidualBlock(self.spatial_dims, width, width, kernel, project=False)
        if self.spatial_dims == 2 and (s == 0 or (n - s) % 2 == 0):
            return nn.Identity()
        voxels = math.prod(size)
        self.fixed_size = self.fixed_size or voxels <= width
        return ViLLayer(voxels, channel_token=True) if voxels <= width else ViLLayer(width)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Compute the logits of (B, in_channels, *spatial): see Shape above."""
        if self.training and self.deep_supervision:
            return self.deep_outputs(x)
        with executing(self, x) as run:
            for features in self._decode(x, run):
                finest = features
            return run(self.heads[-1], finest)

    def deep_outputs(self, x: Tensor) -> list[Tensor]:
        """Compute the logits of every decoder stage in either mode, finest first."""
        with executing(self, x) as run:
            return [run(head, features) for head, features in zip(self.heads, self._decode(x, run), strict=True)][::-1]

    def _decode(self, x: Tensor, run: Executor) -> Iterator[Tensor]:
        """Feature maps of the decoder stages, coarsest first; each is used up by the next one."""
        self._check(x)
        recomputed = self._recomputed if self.training else 0
        x = plain(x)
        skips = []
        for number, blocks in enumerate(self._encoder()):
            x = run.chain(blocks, x, number < recomputed)
            skips.append(x)
        x = run.chain([self.bottleneck], skips.pop(), recomputed == len(self.stages))
        for block in self.decoder:
            x = run(block, x, skips.pop())
            yield x

    def _encoder(self) -> Iterator[list[nn.Module]]:
        """The blocks that lead to each skip, the finest first."""
        for number, (stage, layer) in enumerate(zip(self.stages, self.stage_layers, strict=True)):
            yield [*([] if number else self.stem), *stage, layer]

    def _check(self, x: Tensor) -> None:
        if torch.jit.is_tracing():
            return
        axes = "D, H, W" if self.spatial_dims == 3 else "H, W"
        if x.ndim != self.spatial_dims + 2 or x.shape[1] != self.in_channels:
            raise ValueError(f"XLSTMUNet needs an input (B, {self.in_channels}, {axes}), got shape {tuple(x.shape)}")
        size = tuple(x.shape[2:])
        if self.fixed_size and size != self.patch_size:
            raise ValueError(
                f"this XLSTMUNet takes channels as tokens and accepts only its planned patch_size {self.patch_size}, "
                f"got {size}: pad or crop the input, or use sliding windows of that size"
            )
        padded = tuple(max(1, -(-a // b)) * b for a, b in zip(size, self.total_stride, strict=True))
        if padded != size:
            raise ValueError(
                f"XLSTMUNet needs sizes divisible by {self.total_stride}, got {size}: pad the input to {padded}"
            )
        if size == self.total_stride:
            raise ValueError(
                f"XLSTMUNet cannot normalise the single voxel that {size} leaves in the deepest stage: "
                f"use an input of at least twice that size along one axis"
            )


def _per_stage(name: str, values: Sequence[PerAxis], n: int, spatial_dims: int) -> list[tuple[int, ...]]:
    if len(values) != n:
        raise ValueError(f"{name} must have one entry for each of the {n} stages that features has, got {len(values)}")
    if any(not isinstance(value, int) and len(value) != spatial_dims for value in values):
        raise ValueError(f"each of {name} must be a number or {spatial_dims} numbers, got {list(values)}")
    values = [ensure_tuple_rep(value, spatial_dims) for value in values]
    if any(number < 1 for value in values for number in value):
        raise ValueError(f"{name} must be at least 1, got {values}")
    return values


def _counts(name: str, values: PerAxis, n: int, free: int) -> list[int]:
    """One count for each of n stages; from stage ``free`` on it is 1, as published."""
    if not isinstance(values, int) and len(values) != n:
        raise ValueError(f"{name} must be a number or {n} numbers, got {list(values)}")
    counts = ensure_tuple_rep(values, n)
    if min(counts) < 1:
        raise ValueError(f"{name} must be at least 1, got {values}")
    return [count if s < free else 1 for s, count in enumerate(counts)]


def _divide(size: Sequence[int], stride: Sequence[int]) -> tuple[int, ...]:
    return tuple(a // b for a, b in zip(size, stride, strict=True))
