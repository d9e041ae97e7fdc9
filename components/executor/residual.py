"""Residual blocks on a CPU by rows: channels-last, in place, and without what a decoder merges being made.

Without gradients maps are computed in the memory of others that are no longer needed. In training, where they are kept
for the backward pass, nothing is kept twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from ..blocks.activation_checkpointing import run_blocks
from ..blocks.residual import NEGATIVE_SLOPE, ResidualBlock, ResidualUpBlock, upsample
from ..kernels import instance_norm
from ..kernels.layout import channels_last, is_by_rows, memory_format
from ..kernels.ops.instance_norm.operator import Again
from . import convolution
from .merged import Merged, convolve_merged
from .unfolded import convolve_unfolded, is_large
from .workspace import give

FEW = 1024
"""Voxels below which it takes as long to sum the weights of :class:`Merged` as it saves."""


def chain(blocks: Iterable[nn.Module], x: Tensor | Merged, recompute: bool, owned: bool = False) -> Tensor:
    """Run blocks one after the other; arguments as of :meth:`components.executor.Executor.chain`.

    Args:
        blocks: the first is a :class:`ResidualBlock` if ``x`` is merged.
        x: input of the first block.
        recompute: whether the backward pass recomputes each block.
        owned: whether ``x`` may be used up, as all maps between the blocks are.
    """
    for block in blocks:
        y = run_blocks([partial(_step, block, owned)], x, recompute)
        owned = owned or y is not x
        x = y
    return x


def _step(block: nn.Module, owned: bool, x: Tensor | Merged) -> Tensor:
    if type(block) is ResidualBlock:
        return residual(block, x, owned)
    y = block(x)
    if owned and y is not x:
        give(x)
    return y


def residual(block: ResidualBlock, x: Tensor | Merged, owned: bool) -> Tensor:
    """Run a residual block.

    Args:
        block: the block.
        x: its input.
        owned: whether it may be used up.
    """
    x = x if isinstance(x, Merged) or is_by_rows(x) else channels_last(x)
    out = _norm_activate(block.norm1, convolve(block.conv1, x))
    out = convolve(block.conv2, out, owned=True)
    if isinstance(block.shortcut, nn.Identity):
        shortcut, again = x, None
    else:
        shortcut, again = convolve(block.shortcut, x, owned), _again(block.shortcut, x)
    out = _norm_activate(block.norm2, out, shortcut, again)
    if shortcut is not x:
        give(shortcut)
    if owned:
        x.give() if isinstance(x, Merged) else give(x)
    return out


def up(block: ResidualUpBlock, x: Tensor, skip: Tensor) -> Tensor:
    """Run a stage of the decoder; both of its maps are used up."""
    coarse, skip = convolve(block.project, x), skip if block.takes_skip else None
    give(x)
    merges = coarse[0, 0].numel() < FEW
    merged = upsample(coarse, block.stride, skip) if merges else Merged(coarse, block.stride, skip)
    return chain(block.blocks, merged, block.use_checkpoint and block.training, owned=True)


def convolve(layer: nn.Conv2d | nn.Conv3d, x: Tensor | Merged, owned: bool = False) -> Tensor:
    """(B, in_channels, *spatial) → (B, out_channels, *spatial / stride), channels-last in memory.

    Args:
        layer: the convolution.
        x: its input.
        owned: whether the result may overwrite it.
    """
    if isinstance(x, Merged):
        return x.convolve(layer.weight, layer.bias, owned)
    if is_large(layer.weight, x, layer.stride):
        return convolve_unfolded(x, layer.weight, layer.bias, layer.stride, layer.padding)
    if not torch.is_grad_enabled():
        return convolution.convolve(x, layer.weight, layer.bias, layer.stride, layer.padding, owned)
    if max(layer.kernel_size) > 1:
        return layer(x).contiguous(memory_format=memory_format(x))  # libraries other than oneDNN change the order
    return _pointwise(layer.stride, x, layer.weight, layer.bias)


def _pointwise(stride: tuple[int, ...], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """For a kernel of size 1, oneDNN would take ten times as long as the matrix products."""
    return convolution.pointwise(x[(..., *(slice(None, None, step) for step in stride))], weight, bias)


def _again(layer: nn.Conv2d | nn.Conv3d, x: Tensor | Merged) -> Again:
    """A convolution of size 1 as a function and its arguments, which autograd keeps anyway."""
    if isinstance(x, Merged):
        return partial(_convolve_merged, x.stride), (x.coarse, x.skip, layer.weight, layer.bias)
    return partial(_pointwise, layer.stride), (x, layer.weight, layer.bias)


def _convolve_merged(
    stride: tuple[int, ...], coarse: Tensor, skip: Tensor | None, weight: Tensor, bias: Tensor
) -> Tensor:
    return convolve_merged(coarse, stride, skip, weight, bias)


def _norm_activate(norm: nn.Module, x: Tensor, shortcut: Tensor | None = None, again: Again | None = None) -> Tensor:
    """Normalise, add the shortcut and activate, in the memory of x, which is not used afterwards.

    In training the backward pass needs the shortcut, or computes it ``again``.
    """
    return instance_norm(x, norm.weight, norm.bias, shortcut, norm.eps, NEGATIVE_SLOPE, True, again=again)
