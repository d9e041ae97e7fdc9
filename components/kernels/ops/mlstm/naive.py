"""The definition of the mLSTM cell: its parallel form, which holds S × S matrices."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-6
LEAST_PEAK = -80.0  # below it h is zero in all but name, and exp(−m) would overflow


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> Tensor:
    """The mLSTM cell in parallel form (Beck et al., 2024, arXiv 2405.04517, appendix A.3).

    Args:
        q: queries, (B, heads, S, d).
        k: keys, (B, heads, S, d).
        v: values, (B, heads, S, d).
        i: input gate pre-activations, (B, heads, S).
        f: forget gate pre-activations, (B, heads, S).

    Returns:
        h, (B, heads, S, d).
    """
    length, width = q.shape[-2:]
    log_forget = F.logsigmoid(f)[..., None].expand(*f.shape, length)
    # Each entry (t, j) sums only the steps j < l ≤ t, so large gates elsewhere cost no precision.
    log_decay = log_forget.tril(-1).cumsum(-2)
    future = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
    log_weight = (log_decay + i[..., None, :]).masked_fill(future, -torch.inf)
    peak = log_weight.amax(-1, keepdim=True)
    scores = q @ k.transpose(-2, -1) * width**-0.5 * torch.exp(log_weight - peak)
    normaliser = torch.maximum(scores.sum(-1, keepdim=True).abs(), torch.exp(-peak.clamp(min=LEAST_PEAK)))
    return scores @ v / (normaliser + EPSILON)
