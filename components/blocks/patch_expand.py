"""Large-kernel patch expanding: MSVM-UNet's up-sampling (arXiv 2408.13735, section 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..kernels.convolution import planes, slabs
from ..kernels.registry import recording
from .channel_first import to_first, to_last

STRIPE = 2**21
"""Bytes of the widest maps of a stripe of rows: they stay in the caches."""


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
        if self._folds_running():
            weight, bias = self._folded(self.batch_norm.running_mean, self.batch_norm.running_var)
            return self._in_stripes(x, weight, bias) if x.device.type == "cpu" else self._merged(x, weight, bias)
        if self._folds_batch(x):
            weight, bias = self._folded(*self._moments(x))
            return torch.cat([self._merged(image, weight, bias) for image in x.split(1)])
        return self._rearrange(self.depthwise(F.relu(self.batch_norm(self.expand(x)))))

    def _merged(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self._rearrange(self.depthwise(F.relu(F.conv2d(x, weight, bias), inplace=True)))

    def _in_stripes(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Expand some rows at a time: maps of ``hidden`` channels in fresh memory cost more than the convolutions."""
        height, depthwise = x.shape[2], self.depthwise
        images: list[list[Tensor]] = [[] for _ in x]
        voxel = self.expand.out_channels * x.element_size()
        for sample, begin, end in slabs(len(x), x.shape[2:], voxel, STRIPE):
            first, last = max(begin - 1, 0), min(end + 1, height)  # the depthwise convolution reads a row more
            rows = F.relu(F.conv2d(x[sample : sample + 1, :, first:last], weight, bias), inplace=True)
            rows = planes(rows, begin - 1 - first, end + 1 - first)
            rows = F.conv2d(rows, depthwise.weight, depthwise.bias, padding=(0, 1), groups=depthwise.groups)
            images[sample].append(self._rearrange(rows))
        return torch.cat([torch.cat(stripes, 2) for stripes in images])

    def _rearrange(self, x: Tensor) -> Tensor:
        squares = to_last(x).unflatten(-1, (self.scale, self.scale, -1))  # B, H, W, row, column, channel
        squares = self.head(self.norm(squares))
        rows = squares.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return to_first(rows)

    def _folds_running(self) -> bool:
        """Whether to have the batch norm inside the 1 × 1 convolution, without gradients."""
        norm = self.batch_norm
        if torch.is_grad_enabled() or recording() or not isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm):
            return False
        return not norm.training and norm.running_mean is not None

    def _folds_batch(self, x: Tensor) -> bool:
        """Whether to train with the batch norm inside the 1 × 1 convolution, one image at a time.

        On a CPU the time goes into writing maps of ``hidden`` channels. The folded form writes two fewer. It needs the
        covariance of the input, which costs little where the input is much narrower.
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

    def _folded(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias that expand and normalise at once, by the moments of each expanded channel."""
        norm = self.batch_norm
        gain = norm.weight * torch.rsqrt(variance + norm.eps)
        return self.expand.weight * gain.view(-1, 1, 1, 1), (self.expand.bias - mean) * gain + norm.bias

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each expanded channel; the running statistics are updated.

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
        return mean, variance
