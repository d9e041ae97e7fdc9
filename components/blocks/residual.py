"""Residual convolution blocks of nnU-Net's residual U-Nets, 2D and 3D."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn

from components.blocks.pointwise import pointwise_conv
from components.kernels import instance_norm
from components.kernels.layout import by_rows

NEGATIVE_SLOPE = 0.01


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
        >>> import torch
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
        kernel_size = tuple(kernel_size)
        stride = stride if isinstance(stride, int) else tuple(stride)
        padding = tuple(size // 2 for size in kernel_size)
        conv, norm = Conv[Conv.CONV, spatial_dims], Norm[Norm.INSTANCE, spatial_dims]
        self.conv1 = conv(in_channels, out_channels, kernel_size, stride, padding)
        self.norm1 = norm(out_channels, eps=1e-5, affine=True)
        self.conv2 = conv(out_channels, out_channels, kernel_size, 1, padding)
        self.norm2 = norm(out_channels, eps=1e-5, affine=True)
        self.shortcut = pointwise_conv(spatial_dims, in_channels, out_channels, stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) → (B, out_channels, *spatial / stride)."""
        out = _norm_activate(self.norm1, self.conv1(x))
        out = self.conv2(out)  # frees the activation, the largest temporary, before the shortcut is computed
        return _norm_activate(self.norm2, out, self.shortcut(x))


def _norm_activate(norm: nn.Module, x: Tensor, residual: Tensor | None = None) -> Tensor:
    """Apply the parameters of an instance norm, add the residual and activate; x is not used afterwards."""
    backend = "auto" if by_rows(x) else "torch"
    return instance_norm(x, norm.weight, norm.bias, residual, norm.eps, NEGATIVE_SLOPE, inplace=True, backend=backend)


def residual_blocks(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: Sequence[int],
    stride: Sequence[int] | int = 1,
    count: int = 1,
) -> nn.Sequential:
    """A projecting :class:`ResidualBlock` followed by ``count`` − 1 plain ones."""
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
