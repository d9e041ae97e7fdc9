"""Convolutions of kernel size 1, computed as the matrix products that they are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from components.kernels.layout import by_rows


class _Pointwise:
    """Forward pass of a convolution of kernel size 1: on channels-last maps a matrix product over the channels.

    That needs no copy, whereas PyTorch's 3D convolution makes some. Where a network does not keep its maps
    channels-last, see :func:`components.kernels.layout.by_rows`, it is the convolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) → (B, out_channels, *spatial / stride)."""
        if not by_rows(x):
            return super().forward(x)
        sampled = x[(..., *(slice(None, None, step) for step in self.stride))]
        return F.linear(sampled.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)


class PointwiseConv2d(_Pointwise, nn.Conv2d):
    """A 2D convolution of kernel size 1; arguments as in :func:`pointwise_conv`."""


class PointwiseConv3d(_Pointwise, nn.Conv3d):
    """A 3D convolution of kernel size 1; arguments as in :func:`pointwise_conv`."""


def pointwise_conv(
    spatial_dims: int, in_channels: int, out_channels: int, stride: int | Sequence[int] = 1
) -> PointwiseConv2d | PointwiseConv3d:
    """Build a convolution of kernel size 1 with bias, with the parameters of PyTorch's.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: of the sampled voxels, a number or one for each axis.

    Example:
        >>> import torch
        >>> pointwise_conv(2, 3, 8, (2, 1))(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 8, 2, 4])
    """
    return {2: PointwiseConv2d, 3: PointwiseConv3d}[spatial_dims](in_channels, out_channels, 1, stride)
