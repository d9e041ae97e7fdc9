"""Convolutions of xLSTM-UNet: PyTorch's layers, which reuse memory in a workspace."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..kernels.convolution import convolve
from ..kernels.workspace import in_workspace
from .upsample import Merged


class _Convolution:
    """Forward pass of a convolution, in a workspace by :func:`components.kernels.convolution.convolve`."""

    def forward(self, x: Tensor | Merged, inplace: bool = False) -> Tensor:
        """(B, in_channels, *spatial) → (B, out_channels, *spatial / stride).

        Args:
            x: the input.
            inplace: whether it may be overwritten in a workspace.
        """
        if isinstance(x, Merged):
            return x.convolve(self.weight, self.bias, inplace)
        if not in_workspace():
            return super().forward(x)
        return convolve(x, self.weight, self.bias, self.stride, self.padding, inplace)


class Convolution2d(_Convolution, nn.Conv2d):
    """A 2D convolution; arguments as in :func:`convolution`."""


class Convolution3d(_Convolution, nn.Conv3d):
    """A 3D convolution; arguments as in :func:`convolution`."""


def convolution(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: int | Sequence[int] = 1,
    stride: int | Sequence[int] = 1,
) -> Convolution2d | Convolution3d:
    """Build a convolution with bias that keeps the size where its stride is 1, with the parameters of PyTorch's.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd, a number or one for each axis.
        stride: a number or one for each axis.

    Example:
        >>> import torch
        >>> convolution(2, 3, 8, 1, (2, 1))(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 8, 2, 4])
    """
    padding = kernel_size // 2 if isinstance(kernel_size, int) else tuple(size // 2 for size in kernel_size)
    layer = {2: Convolution2d, 3: Convolution3d}[spatial_dims]
    return layer(in_channels, out_channels, kernel_size, stride, padding)
