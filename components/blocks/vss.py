"""The visual state space block of VMamba (Liu et al., 2024, arXiv 2401.10166) and MSVM-UNet's multi-scale variant."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers import DropPath
from torch import Tensor, nn

from ..kernels import cross_selective_scan, depthwise_conv
from ..kernels.registry import recording
from .activation_checkpointing import run_blocks
from .channel_first import LayerNorm2d, Linear2d
from .patch_expand import PatchExpand


class SS2D(nn.Module):
    """Two-dimensional selective scan: projection, depthwise convolution, scan along four paths, norm, projection.

    Args:
        channels: C; the inner width is the same (expansion 1) and there is no gate branch.
        state_size: N, states for each channel and path.

    Shape:
        (B, C, H, W) to (B, C, H, W).
    """

    def __init__(self, channels: int, state_size: int = 1) -> None:
        super().__init__()
        rank = math.ceil(channels / 16)
        self.in_proj = Linear2d(channels, channels, bias=False)
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels, bias=False)
        self.x_proj_weight = nn.Parameter(torch.empty(4, rank + 2 * state_size, channels))
        self.dt_projs_weight = nn.Parameter(torch.empty(4, channels, rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(4, channels))
        self.A_logs = nn.Parameter(torch.empty(4 * channels, state_size))
        self.Ds = nn.Parameter(torch.empty(4 * channels))
        self.out_norm = LayerNorm2d(channels)
        self.out_proj = Linear2d(channels, channels, bias=False)
        self.reset_scan_parameters()

    def reset_scan_parameters(self, dt_min: float = 1e-3, dt_max: float = 1e-1) -> None:
        """Initialise the scan as Mamba does: step sizes log-uniform in dt_min … dt_max, A = −(1 … N), D = 1."""
        with torch.no_grad():
            for weight in self.x_proj_weight:
                nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
            nn.init.uniform_(self.dt_projs_weight, -1, 1).mul_(self.dt_projs_weight.shape[-1] ** -0.5)
            nn.init.uniform_(self.dt_projs_bias, math.log(dt_min), math.log(dt_max)).exp_().clamp_(min=1e-4)
            self.dt_projs_bias.add_(torch.log(-torch.expm1(-self.dt_projs_bias)))  # inverse of softplus
            self.A_logs.copy_(torch.log(torch.arange(1.0, self.A_logs.shape[1] + 1)).expand_as(self.A_logs))
            nn.init.ones_(self.Ds)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the pixels of (B, C, H, W)."""
        x = F.silu(self.conv(self.in_proj(x)))
        x = cross_selective_scan(x, self.x_proj_weight, self.dt_projs_weight, self.dt_projs_bias, self.A_logs, self.Ds)
        return self.out_proj(self.out_norm(x))


class MultiScaleDepthwise(nn.Module):
    """u plus the sum of its depthwise convolutions by 1 × 1, 3 × 3 and 5 × 5 kernels (MSVM-UNet, section 3.3).

    All terms are linear in u, so they are computed as one depthwise convolution by the sum of the kernels.

    Args:
        channels: C.
        kernel_sizes: odd sizes in ascending order.

    Shape:
        (B, C, H, W) to (B, C, H, W).
    """

    def __init__(self, channels: int, kernel_sizes: tuple[int, ...] = (1, 3, 5)) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, size, padding=size // 2, groups=channels, bias=False) for size in kernel_sizes
        )

    def merged_kernel(self) -> Tensor:
        """The single kernel that acts as all terms, (C, 1, k, k) with k the largest size."""
        largest = self.convs[-1].weight
        size = largest.shape[-1]
        kernel = largest
        for conv in self.convs[:-1]:
            kernel = kernel + F.pad(conv.weight, [(size - conv.kernel_size[0]) // 2] * 4)
        return kernel + F.pad(largest.new_ones(1, 1, 1, 1), [size // 2] * 4)

    def forward(self, u: Tensor) -> Tensor:
        """Filter (B, C, H, W)."""
        if recording():  # exporters need kernels whose shape they know
            return u + sum(conv(u) for conv in self.convs)
        return depthwise_conv(u, self.merged_kernel())


class FeedForward(nn.Module):
    """Two Linear2d with GELU between, and in the decoder the multi-scale convolutions behind it (MS-FFN).

    Args:
        channels: C; the hidden width is 4 C.
        multi_scale: whether this is the MS-FFN.

    Shape:
        (B, C, H, W) to (B, C, H, W).
    """

    def __init__(self, channels: int, multi_scale: bool = False) -> None:
        super().__init__()
        self.fc1 = Linear2d(channels, 4 * channels)
        self.multi_scale = MultiScaleDepthwise(4 * channels) if multi_scale else nn.Identity()
        self.fc2 = Linear2d(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each pixel, or its surroundings, of (B, C, H, W)."""
        return self.fc2(self.multi_scale(F.gelu(self.fc1(x))))


class VSSBlock(nn.Module):
    """x + DropPath(SS2D(norm x)), then x + DropPath(FFN(norm x)).

    Args:
        channels: C.
        drop_path: probability that a sample skips a branch in training, 0 … 1.
        multi_scale: whether the FFN is MSVM-UNet's MS-FFN.

    Shape:
        (B, C, H, W) to (B, C, H, W).
    """

    def __init__(self, channels: int, drop_path: float = 0.0, multi_scale: bool = False) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(channels)
        self.ss2d = SS2D(channels)
        self.norm2 = LayerNorm2d(channels)
        self.ffn = FeedForward(channels, multi_scale)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, C, H, W)."""
        x = x + self.drop_path(self.ss2d(self.norm1(x)))
        return x + self.drop_path(self.ffn(self.norm2(x)))


class VSSUpBlock(nn.Module):
    """LKPE, concatenation with the skip, Linear2d to half, and VSS blocks with the multi-scale FFN.

    Args:
        in_channels: 2 C, channels of the coarser map.
        drop_path_rates: drop path probability of each block.
        use_checkpoint: recompute the blocks in the backward pass instead of keeping their activations.

    Shape:
        (B, 2 C, H, W) and the skip (B, C, 2 H, 2 W) to (B, C, 2 H, 2 W).
    """

    def __init__(self, in_channels: int, drop_path_rates: Sequence[float], use_checkpoint: bool) -> None:
        super().__init__()
        width = in_channels // 2
        self.use_checkpoint = use_checkpoint
        self.expand = PatchExpand(in_channels, width, scale=2)
        self.reduce = Linear2d(2 * width, width)
        self.blocks = nn.ModuleList(VSSBlock(width, rate, multi_scale=True) for rate in drop_path_rates)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Merge a coarse map with the skip of the next finer stage."""
        return self.merge(self.expand(x), skip)

    def merge(self, expanded: Tensor, skip: Tensor) -> Tensor:
        """What follows the expansion: both maps (B, C, 2 H, 2 W)."""
        x = self.reduce(torch.cat((expanded, skip), dim=1))
        return run_blocks(self.blocks, x, self.use_checkpoint and self.training)
