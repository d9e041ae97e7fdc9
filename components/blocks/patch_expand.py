"""Large-kernel patch expanding: MSVM-UNet's up-sampling (arXiv 2408.13735, section 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.blocks.channel_first import to_first, to_last
from components.kernels.registry import recording


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
        self.head = nn.Linear(out_channels, head_channels) if head_channels is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Expand (B, C, H, W)."""
        if not self._folds(x):
            return self._rearrange(F.relu(self.batch_norm(self.expand(x))))
        weight, bias = self._folded(x)
        images = (F.conv2d(image, weight, bias) for image in x.split(1))
        return torch.cat([self._rearrange(F.relu(image, inplace=True)) for image in images])

    def _rearrange(self, x: Tensor) -> Tensor:
        x = self.depthwise(x)
        squares = to_last(x).unflatten(-1, (self.scale, self.scale, -1))  # B, H, W, row, column, channel
        squares = self.head(self.norm(squares))
        rows = squares.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return to_first(rows)

    def _folds(self, x: Tensor) -> bool:
        """Whether to train with the batch norm inside the 1 × 1 convolution, one image at a time.

        On a CPU the time goes into writing maps of ``hidden`` channels. The folded form writes two fewer, and those of
        one image are small enough to stay in the heap. It needs the covariance of the input, which costs little where
        the input is much narrower.
        """
        return (
            self.batch_norm.training
            and x.device.type == "cpu"
            and not torch.is_autocast_enabled("cpu")
            and not recording()
            and type(self.batch_norm) is nn.BatchNorm2d  # not one that shares its moments with other processes
            and self.expand.out_channels >= 8 * x.shape[1]
            and x.numel() > x.shape[1]
        )

    def _folded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias that expand and normalise at once; the running statistics are updated.

        The moments of a linear map W x + b are W mean(x) + b and the diagonal of W cov(x) Wᵀ.
        """
        norm, matrix, bias = self.batch_norm, self.expand.weight.flatten(1), self.expand.bias
        pixels = to_last(x).flatten(0, 2)
        centre = pixels.mean(0)
        centred = pixels - centre
        mean = matrix @ centre + bias
        variance = (matrix @ (centred.T @ centred / len(pixels)) * matrix).sum(1).clamp_min(0)
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            share = 1 / norm.num_batches_tracked.item() if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean, share)
            norm.running_var.lerp_(variance * (len(pixels) / (len(pixels) - 1)), share)
        gain = norm.weight * torch.rsqrt(variance + norm.eps)
        return (matrix * gain[:, None])[:, :, None, None], (bias - mean) * gain + norm.bias
