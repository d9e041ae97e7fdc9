"""Layers over the channel axis of B × C × H × W tensors.

Both work on the last axis of a permuted view. In channels-last memory, in which MSVM-UNet runs, the view is contiguous
and nothing is copied.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.linear import Linear


def to_last(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H, W, C), a view."""
    return x.permute(0, 2, 3, 1)


def to_first(x: Tensor) -> Tensor:
    """(B, H, W, C) to (B, C, H, W), a view."""
    return x.permute(0, 3, 1, 2)


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of each pixel of (B, C, H, W), eps 1e-5.

    Example:
        >>> import torch
        >>> LayerNorm2d(8)(torch.randn(2, 8, 4, 4)).shape
        torch.Size([2, 8, 4, 4])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        return to_first(super().forward(to_last(x)))


class Linear2d(Linear):
    """A linear map of the channels of each pixel, (B, in, H, W) to (B, out, H, W); weight (out, in).

    Example:
        >>> import torch
        >>> Linear2d(8, 3)(torch.randn(2, 8, 4, 4)).shape
        torch.Size([2, 3, 4, 4])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W)."""
        return to_first(super().forward(to_last(x)))
