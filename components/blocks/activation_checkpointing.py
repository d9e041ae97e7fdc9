"""Activation checkpointing: less memory in training for a second forward pass."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..kernels.workspace import give


def run_blocks(blocks: Iterable[nn.Module], x: Tensor, use_checkpoint: bool) -> Tensor:
    """Apply blocks one after the other.

    Args:
        blocks: modules from a tensor to a tensor.
        x: input of the first block.
        use_checkpoint: keep only the input of each block and recompute the rest in the backward pass; random numbers
            (drop path) are the same in both.

    Returns:
        The output of the last block.
    """
    first = x
    for block in blocks:
        y = checkpoint(block, x, use_reentrant=False) if use_checkpoint else block(x)
        if x is not first and y is not x:
            give(x)
        x = y
    return x
