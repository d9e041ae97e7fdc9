"""Residual convolution blocks of nnU-Net's residual U-Nets, 2D and 3D."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn
from torch.nn import functional as F

from .activation_checkpointing import run_blocks

NEGATIVE_SLOPE = 0.01


def convolution(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: int | Sequence[int] = 1,
    stride: int | Sequence[int] = 1,
) -> nn.Conv2d | nn.Conv3d:
    """Build a convolution with bias that keeps the size where its stride is 1.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd, a number or one for each axis.
        stride: a number or one for each axis.

    Example:
        >>> convolution(2, 3, 8, 1, (2, 1))(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 8, 2, 4])
    """
    padding = kernel_size // 2 if isinstance(kernel_size, int) else tuple(size // 2 for size in kernel_size)
    return Conv[Conv.CONV, spatial_dims](in_channels, out_channels, kernel_size, stride, padding)


class ResidualBlock(nn.Module):
    """Two convolutions with instance norm and leaky ReLU beside a shortcut (Isensee et al., 2024, arXiv 2404.09556).

    convolution, norm, activation, convolution, norm, plus the shortcut, activation. The shortcut is a strided 1×1
    convolution, or the input itself where ``project`` is False.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd, for each axis.
        stride: of the first convolution and of the shortcut, for each axis.
        project: whether the shortcut is a convolution. It must be where the shape changes.

    Example:
        >>> ResidualBlock(2, 3, 8, (3, 3), (2, 2))(torch.zeros(1, 3, 16, 16)).shape
        torch.Size([1, 8, 8, 8])
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        stride: Sequence[int] | int = 1,
        project: bool = True,
    ) -> None:
        super().__init__()
        norm = Norm[Norm.INSTANCE, spatial_dims]
        self.conv1 = convolution(spatial_dims, in_channels, out_channels, kernel_size, stride)
        self.norm1 = norm(out_channels, eps=1e-5, affine=True)
        self.conv2 = convolution(spatial_dims, out_channels, out_channels, kernel_size)
        self.norm2 = norm(out_channels, eps=1e-5, affine=True)
        self.shortcut = convolution(spatial_dims, in_channels, out_channels, 1, stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) → (B, out_channels, *spatial / stride)."""
        out = F.leaky_relu(self.norm1(self.conv1(x)), NEGATIVE_SLOPE, inplace=True)
        out = self.norm2(self.conv2(out)) + self.shortcut(x)
        return F.leaky_relu(out, NEGATIVE_SLOPE, inplace=True)


class ResidualUpBlock(nn.Module):
    """Project, interpolate to the nearest neighbour, concatenate the skip if there is one, residual blocks.

    The projection comes before the interpolation, with which it commutes, as that is cheaper than the published order.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the coarser map.
        out_channels: channels of the output and of the skip.
        stride: factor of the interpolation for each axis.
        kernel_size: of the residual blocks, for each axis.
        blocks: number of residual blocks.
        takes_skip: whether :meth:`forward` uses its skip.
        use_checkpoint: recompute the residual blocks in the backward pass instead of keeping their activations.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        stride: Sequence[int],
        kernel_size: Sequence[int],
        blocks: int,
        takes_skip: bool = True,
        use_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.use_checkpoint = use_checkpoint
        self.stride = tuple(stride)
        self.takes_skip = takes_skip
        self.project = convolution(spatial_dims, in_channels, out_channels)
        merged = 2 * out_channels if takes_skip else out_channels
        self.blocks = residual_blocks(spatial_dims, merged, out_channels, kernel_size, count=blocks)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, in_channels, *spatial) and skip (B, out_channels, *spatial · stride) → the shape of skip."""
        x = upsample(self.project(x), self.stride, skip if self.takes_skip else None)
        return run_blocks(self.blocks, x, self.use_checkpoint and self.training)


def upsample(x: Tensor, stride: Sequence[int], skip: Tensor | None) -> Tensor:
    """Interpolate ``x`` to the nearest neighbour and concatenate the skip, if there is one, behind its channels.

    Args:
        x: (B, C, *spatial).
        stride: factor for each axis.
        skip: (B, S, *spatial · stride), or None for S = 0.

    Returns:
        (B, C + S, *spatial · stride).

    Example:
        >>> x, skip = torch.tensor([[[[1.0, 2.0]]]]), torch.zeros(1, 1, 1, 4)
        >>> upsample(x, (1, 2), skip)[0, :, 0]
        tensor([[1., 1., 2., 2.],
                [0., 0., 0., 0.]])
    """
    x = F.interpolate(x, scale_factor=[float(factor) for factor in stride], mode="nearest")
    return x if skip is None else torch.cat([x, skip], 1)


def residual_blocks(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: Sequence[int],
    stride: Sequence[int] | int = 1,
    count: int = 1,
) -> nn.Sequential:
    """A projecting :class:`ResidualBlock` and ``count`` − 1 plain ones."""
    first = ResidualBlock(spatial_dims, in_channels, out_channels, kernel_size, stride)
    widths = out_channels, out_channels
    plain = (ResidualBlock(spatial_dims, *widths, kernel_size, project=False) for _ in range(count - 1))
    return nn.Sequential(first, *plain)


def init_convolutions(network: nn.Module) -> None:
    """Give all 2D and 3D convolutions in ``network`` Kaiming normal weights for leaky ReLU, and zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE)
            nn.init.zeros_(module.bias)
