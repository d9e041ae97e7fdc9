"""Activation checkpointing: less memory in training for a second forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor
from torch.utils.checkpoint import checkpoint


def run_blocks(blocks: Iterable[Callable[[Tensor], Tensor]], x: Tensor, use_checkpoint: bool) -> Tensor:
    """Apply blocks one after the other.

    Args:
        blocks: modules or functions from a tensor to a tensor.
        x: input of the first block.
        use_checkpoint: keep only the input of each block and recompute the rest in the backward pass; random numbers
            (drop path) are the same in both.

    Returns:
        The output of the last block.
    """
    for block in blocks:
        x = checkpoint(block, x, use_reentrant=False) if use_checkpoint else block(x)
    return x
