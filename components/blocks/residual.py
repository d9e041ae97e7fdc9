"""Residual convolution blocks of nnU-Net's residual U-Nets, 2D and 3D."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.layers.factories import Norm
from torch import Tensor, nn

from ..kernels import instance_norm
from ..kernels.layout import by_rows, trained_by_rows
from ..kernels.ops.instance_norm.operator import Again
from ..kernels.workspace import give
from .convolution import convolution
from .upsample import Merged

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
        inplace: whether the input may be overwritten where no gradient is recorded.

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
        inplace: bool = False,
    ) -> None:
        super().__init__()
        self.inplace = inplace
        norm = Norm[Norm.INSTANCE, spatial_dims]
        self.conv1 = convolution(spatial_dims, in_channels, out_channels, kernel_size, stride)
        self.norm1 = norm(out_channels, eps=1e-5, affine=True)
        self.conv2 = convolution(spatial_dims, out_channels, out_channels, kernel_size)
        self.norm2 = norm(out_channels, eps=1e-5, affine=True)
        self.shortcut = convolution(spatial_dims, in_channels, out_channels, 1, stride) if project else nn.Identity()

    def forward(self, x: Tensor | Merged) -> Tensor:
        """(B, in_channels, *spatial) → (B, out_channels, *spatial / stride)."""
        out = _norm_activate(self.norm1, self.conv1(x))
        out = self.conv2(out, inplace=True)
        projects = not isinstance(self.shortcut, nn.Identity)
        shortcut = self.shortcut(x, self.inplace) if projects else x
        again = self.shortcut.again(x) if projects and self.training and trained_by_rows(out) else None
        out = _norm_activate(self.norm2, out, shortcut, again)
        if shortcut is not x and not self.inplace:
            give(shortcut)
        return out


def _norm_activate(norm: nn.Module, x: Tensor, residual: Tensor | None = None, again: Again | None = None) -> Tensor:
    """Apply the parameters of an instance norm, add the residual and activate; x is not used afterwards.

    In training the backward pass needs the residual, or computes it ``again``.
    """
    backend = "auto" if by_rows(x) or (norm.training and trained_by_rows(x)) else "torch"
    return instance_norm(x, norm.weight, norm.bias, residual, norm.eps, NEGATIVE_SLOPE, True, backend, again)


def residual_blocks(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: Sequence[int],
    stride: Sequence[int] | int = 1,
    count: int = 1,
    inplace: bool = False,
) -> nn.Sequential:
    """A projecting :class:`ResidualBlock`, which is the one that ``inplace`` is for, and ``count`` − 1 plain ones."""
    first = ResidualBlock(spatial_dims, in_channels, out_channels, kernel_size, stride, inplace=inplace)
    widths = out_channels, out_channels
    plain = (ResidualBlock(spatial_dims, *widths, kernel_size, project=False) for _ in range(count - 1))
    return nn.Sequential(first, *plain)


def init_convolutions(network: nn.Module) -> None:
    """Give all 2D and 3D convolutions in ``network`` Kaiming normal weights for leaky ReLU, and zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE)
            nn.init.zeros_(module.bias)
