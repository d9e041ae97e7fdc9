"""Patch expanding with its batch norm inside of the 1 × 1 convolution, a stripe or an image at a time.

The time goes into writing maps of as many channels as the expanded ones, and into fresh memory for them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.channel_first import to_first, to_last
from ..blocks.patch_expand import PatchExpand
from ..blocks.vss import VSSUpBlock
from ..kernels.linear import linear
from .convolution import planes, slabs

STRIPE = 2**21
"""Bytes of the widest maps of a stripe of rows: they stay in the caches."""


def up(block: VSSUpBlock, x: Tensor, skip: Tensor) -> Tensor:
    """Run a stage of MSVM-UNet's decoder."""
    return block.merge(expand(block.expand, x), skip)


def expand(block: PatchExpand, x: Tensor) -> Tensor:
    """Expand (B, C, H, W), with the batch norm folded where that saves time."""
    if _folds_running(block):
        norm = block.batch_norm
        weight, bias = _folded(block, norm.running_mean, norm.running_var)
        return _in_stripes(block, x, weight, bias) if x.device.type == "cpu" else _whole(block, x, weight, bias)
    if folds_batch(block, x):
        weight, bias = _folded(block, *_moments(block, x))
        return torch.cat([_whole(block, image, weight, bias) for image in x.split(1)])
    return block(x)


def _whole(block: PatchExpand, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return block.rearrange(block.depthwise(_expanded(x, weight, bias)))


def _in_stripes(block: PatchExpand, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Expand some rows at a time: expanded maps in fresh memory cost more than the convolutions."""
    height, depthwise = x.shape[2], block.depthwise
    images: list[list[Tensor]] = [[] for _ in x]
    voxel = block.expand.out_channels * x.element_size()
    for sample, begin, end in slabs(len(x), x.shape[2:], voxel, STRIPE):
        first, last = max(begin - 1, 0), min(end + 1, height)  # the depthwise convolution reads a row more
        rows = _expanded(x[sample : sample + 1, :, first:last], weight, bias)
        rows = planes(rows, begin - 1 - first, end + 1 - first)
        rows = F.conv2d(rows, depthwise.weight, depthwise.bias, padding=(0, 1), groups=depthwise.groups)
        images[sample].append(block.rearrange(rows))
    return torch.cat([torch.cat(stripes, 2) for stripes in images])


def _expanded(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """1 × 1 convolution and ReLU."""
    if x.device.type != "cpu":
        return F.relu(F.conv2d(x, weight, bias), inplace=True)
    pixels = to_last(x)
    # in place before it is a view: PyTorch would copy the gradient of a view that was changed
    expanded = F.relu(linear(pixels.flatten(0, 2), weight.flatten(1), bias), inplace=True)
    return to_first(expanded.unflatten(0, pixels.shape[:3]))


def _folds_running(block: PatchExpand) -> bool:
    """Whether to fold the running moments, without gradients."""
    norm = block.batch_norm
    return not torch.is_grad_enabled() and not norm.training and norm.running_mean is not None


def folds_batch(block: PatchExpand, x: Tensor) -> bool:
    """Whether to train with the batch norm inside the 1 × 1 convolution, one image at a time.

    The folded form writes two expanded maps fewer. It needs the covariance of the input, which costs little where the
    input is much narrower.
    """
    return (
        block.batch_norm.training
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and type(block.batch_norm) is nn.BatchNorm2d  # not one that shares its moments with other processes
        and block.expand.out_channels >= 8 * x.shape[1]
        and x.numel() > x.shape[1]
    )


def _folded(block: PatchExpand, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias that expand and normalise at once, by the moments of each expanded channel."""
    norm = block.batch_norm
    gain = norm.weight * torch.rsqrt(variance + norm.eps)
    return block.expand.weight * gain.view(-1, 1, 1, 1), (block.expand.bias - mean) * gain + norm.bias


def _moments(block: PatchExpand, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each expanded channel; the running statistics are updated.

    The moments of a linear map W x + b are W mean(x) + b and the diagonal of W cov(x) Wᵀ.
    """
    norm, matrix, bias = block.batch_norm, block.expand.weight.flatten(1), block.expand.bias
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
