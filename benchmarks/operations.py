"""Operations of networks and of the four-path scan: what a share of the matrix rate of a machine is the share of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

STEP = 3
"""A training step counts as three forward passes: the backward pass has two products for each of the forward pass."""
_SOFTPLUS, _DECAY, _RECURRENCE = 5 + 9, 1 + 5, 4
"""Multiplications, with or without an addition, of ``selective_scan.elementary`` and of a step of the scan."""


def of_network(network: nn.Module, x: Tensor) -> int:
    """Operations of a forward pass: twice the multiply-adds of its convolutions and matrix products, without any other.

    They are those of the network as it is written, whatever its kernels save, and counted without computing anything.

    Args:
        network: takes ``x``; its mode and weights stay as they are.
        x: the input.
    """
    with torch.enable_grad(), FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        network(x)
    return counter.get_total_flops()


def of_cross_scan(numbers: int, rank: int, states: int = 1) -> int:
    """Operations of a four-path scan: twice the multiplications of its float32 formulas, with or without an addition.

    For each number of the image and each path these are the projection, the step size of ``rank`` columns, softplus,
    decay, recurrence and output. Roundings, comparisons and shifts are not counted.

    Args:
        numbers: of the image, over all channels.
        rank: columns of the weights of the step sizes.
        states: of the scan.

    Example:
        >>> of_cross_scan(96 * 56 * 56, 6)
        91521024
    """
    of_path = (rank + 2 * states) + rank + _SOFTPLUS + states * (_DECAY + _RECURRENCE)
    return 2 * 4 * of_path * numbers
