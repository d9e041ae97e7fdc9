"""PyTorch's own operations, one after the other: portable and traceable."""

from __future__ import annotations

from typing import Any

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
    again: Any = None,
) -> Tensor:
    """See :func:`components.kernels.instance_norm`; weight and bias may be float32 beside half-precision input."""
    y = F.instance_norm(x, weight=weight, bias=bias, eps=eps)
    y = y if residual is None else y + residual
    return y if negative_slope == 1 else F.leaky_relu(y, negative_slope, inplace=True)
