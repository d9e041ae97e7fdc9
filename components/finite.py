"""Whether all numbers of a large map are finite."""

from __future__ import annotations

import torch
from monai.data import MetaTensor
from torch import Tensor


def all_finite(x: Tensor) -> bool:
    """Whether no number is NaN or infinity, without another map: ``torch.isfinite`` makes several of the size of x.

    Args:
        x: floating point.

    Example:
        >>> all_finite(torch.tensor([1.0, 2.0])), all_finite(torch.tensor([1.0, float("nan")]))
        (True, False)
    """
    x = x.as_tensor() if isinstance(x, MetaTensor) else x
    return x.numel() == 0 or bool(torch.isfinite(torch.stack(torch.aminmax(x))).all())  # both are NaN if one number is
