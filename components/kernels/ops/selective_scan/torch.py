"""The selective scan in PyTorch operations only: portable, differentiable, recordable by TorchScript and ONNX."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """See :func:`components.kernels.selective_scan`; arguments are already of one dtype."""
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    grouped = (u.shape[0], B.shape[1], u.shape[1] // B.shape[1], u.shape[2])  # batch, G, d, L
    step = (delta * u).reshape(grouped)

    y = torch.zeros_like(u) if D is None else D[:, None] * u
    for n in range(A.shape[1]):  # one state at a time keeps the memory at a few copies of u
        states = linear_recurrence(torch.exp(delta * A[:, n, None]).reshape(grouped), step * B[:, :, None, n])
        y = y + (C[:, :, None, n] * states).reshape(u.shape)
    return y


def linear_recurrence(decay: Tensor, value: Tensor) -> Tensor:
    """Solve h_t = decay_t h_{t−1} + value_t with h_0 = 0 along the last axis, in O(L) work and O(log L) steps.

    Pairs of neighbours are merged into single steps of a sequence half as long, which is solved by recursion and gives
    the odd states (Blelloch, 1990, "Prefix sums and their applications", section 1.4); the even ones follow from them.

    Args:
        decay: (…, L).
        value: (…, L).

    Returns:
        h, (…, L).

    Example:
        >>> linear_recurrence(torch.full((3,), 0.5), torch.ones(3))
        tensor([1.0000, 1.5000, 1.7500])
    """
    length = value.shape[-1]
    if length == 1:
        return value + 0 * decay  # a zero gradient, not none
    if length % 2:
        decay, value = F.pad(decay, (0, 1)), F.pad(value, (0, 1))
    even_decay, odd_decay = decay[..., 0::2], decay[..., 1::2]
    even_value, odd_value = value[..., 0::2], value[..., 1::2]
    odd = linear_recurrence(even_decay * odd_decay, odd_decay * even_value + odd_value)
    even = even_value + even_decay * F.pad(odd[..., :-1], (1, 0))
    return torch.stack((even, odd), dim=-1).flatten(-2)[..., :length]
