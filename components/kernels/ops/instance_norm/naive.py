"""The definition of the operator, and the oracle of the other back ends' tests."""

from __future__ import annotations

from typing import Any

import torch
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
    """See :func:`components.kernels.instance_norm`."""
    precise = x.to(weight.dtype)
    centred = precise - precise.flatten(2).mean(-1).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    variance = centred.square().flatten(2).mean(-1).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    scale, shift = (vector.reshape(-1, *[1] * (x.ndim - 2)) for vector in (weight, bias))
    y = centred / torch.sqrt(variance + eps) * scale + shift
    y = y if residual is None else y + residual
    return torch.where(y > 0, y, negative_slope * y).to(x.dtype)
