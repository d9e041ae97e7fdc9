"""Convolutions of xLSTM-UNet: PyTorch's layers, which reuse memory in a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from ..kernels.convolution import convolve, pointwise
from ..kernels.layout import memory_format, trained_by_rows
from ..kernels.merged import convolve_merged
from ..kernels.ops.instance_norm.operator import Again
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
        if self.training and trained_by_rows(x):
            return self._by_rows(x)
        if not in_workspace():
            return super().forward(x)
        return convolve(x, self.weight, self.bias, self.stride, self.padding, inplace)

    def _by_rows(self, x: Tensor) -> Tensor:
        """In training; for a kernel of size 1, oneDNN would take ten times as long as the matrix products."""
        if max(self.kernel_size) > 1:
            return super().forward(x).contiguous(memory_format=memory_format(x))  # other libraries change the order
        return _strided(self.stride, x, self.weight, self.bias)

    def again(self, x: Tensor | Merged) -> Again:
        """The forward pass of a kernel of size 1 in training as a function and its arguments, which autograd keeps."""
        if isinstance(x, Merged):
            return partial(_merged, x.stride), (x.coarse, x.skip, self.weight, self.bias)
        return partial(_strided, self.stride), (x, self.weight, self.bias)


def _strided(stride: Sequence[int], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return pointwise(x[(..., *(slice(None, None, step) for step in stride))], weight, bias)


def _merged(stride: tuple[int, ...], coarse: Tensor, skip: Tensor | None, weight: Tensor, bias: Tensor) -> Tensor:
    return convolve_merged(coarse, stride, skip, weight, bias)


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
