"""The VMamba encoder ("vssm1") of MSVM-UNet (Liu et al., 2024, arXiv 2401.10166)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.activation_checkpointing import run_blocks
from ..blocks.channel_first import LayerNorm2d, Linear2d
from ..blocks.vss import VSSBlock


class Downsample(nn.Sequential):
    """3 × 3 convolution of stride 2 and LayerNorm2d: (B, in, H, W) to (B, out, H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1)
        self.norm = LayerNorm2d(out_channels)


class VMambaEncoder(nn.Module):
    """Stem of stride 4 and four stages of VSS blocks, with down-sampling by 2 between them.

    Args:
        in_channels: channels of the input.
        features: channels of the stages.
        depths: number of VSS blocks of each stage.
        drop_path_rate: drop path probability of the last block; it grows linearly from 0 over all blocks.
        use_checkpoint: recompute the blocks in the backward pass instead of keeping their activations.

    Shape:
        (B, in_channels, H, W) to a list with (B, features[i], H / 2^(i+2), W / 2^(i+2)) for each stage i.
    """

    def __init__(
        self,
        in_channels: int,
        features: Sequence[int],
        depths: Sequence[int],
        drop_path_rate: float,
        use_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.use_checkpoint = use_checkpoint
        self.stem = nn.ModuleList(
            [Downsample(in_channels, features[0] // 2), Downsample(features[0] // 2, features[0])]
        )
        rates = torch.linspace(0, drop_path_rate, sum(depths), device="cpu").split(list(depths))
        self.stages = nn.ModuleList(
            nn.ModuleList(VSSBlock(width, rate) for rate in stage.tolist())
            for width, stage in zip(features, rates, strict=True)
        )
        self.downsamples = nn.ModuleList(Downsample(a, b) for a, b in itertools.pairwise(features))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the feature maps of all stages, the finest first."""
        first, second = self.stem
        x = second(F.gelu(first(x)))
        skips = []
        for index, blocks in enumerate(self.stages):
            if index:
                x = self.downsamples[index - 1](x)
            x = run_blocks(blocks, x, self.use_checkpoint and self.training)
            skips.append(x)
        return skips


def _initialise(module: nn.Module) -> None:
    if isinstance(module, Linear2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
