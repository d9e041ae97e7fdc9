"""PyTorch's own operations, one after the other: portable and traceable."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def instance_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    eps: float,
    negative_slope: float,
    inplace: bool,
) -> Tensor:
    """See :func:`components.kernels.instance_norm`."""
    y = F.instance_norm(x, weight=weight.to(x.dtype), bias=bias.to(x.dtype), eps=eps)
    y = y if residual is None else y + residual
    return y if negative_slope == 1 else F.leaky_relu(y, negative_slope, inplace=True)
