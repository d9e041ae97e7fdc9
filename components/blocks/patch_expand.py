"""Large-kernel patch expanding: MSVM-UNet's up-sampling (arXiv 2408.13735, section 3.4)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..kernels.linear import Linear
from .channel_first import to_first, to_last


class PatchExpand(nn.Module):
    """Make each pixel a square of pixels.

    1 × 1 convolution, batch norm, ReLU, depthwise 3 × 3 convolution, rearrangement, layer norm.
    LKPE is ``PatchExpand(C, C // 2, scale=2)``, the final FLKPE ``PatchExpand(C, C, scale=4, head_channels=classes)``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of a pixel of the output.
        scale: side of the square.
        head_channels: where given, a 1 × 1 convolution gives the output this many channels. It is applied before the
            pixels move to their places, because then only ``head_channels`` channels have to move.

    Shape:
        (B, in_channels, H, W) to (B, out_channels or head_channels, scale · H, scale · W).
    """

    def __init__(self, in_channels: int, out_channels: int, scale: int, head_channels: int | None = None) -> None:
        super().__init__()
        hidden = out_channels * scale**2
        self.scale = scale
        self.expand = nn.Conv2d(in_channels, hidden, kernel_size=1)
        self.batch_norm = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, kernel_size=3, padding=1, groups=hidden)
        self.norm = nn.LayerNorm(out_channels)
        self.head = Linear(out_channels, head_channels) if head_channels is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Expand (B, C, H, W)."""
        return self.rearrange(self.depthwise(F.relu(self.batch_norm(self.expand(x)))))

    def rearrange(self, x: Tensor) -> Tensor:
        """Make the channels of each pixel of (B, scale² · out_channels, H, W) its square; norm and head."""
        squares = to_last(x).unflatten(-1, (self.scale, self.scale, -1))  # B, H, W, row, column, channel
        squares = self.head(self.norm(squares))
        rows = squares.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return to_first(rows)
