"""What both networks do with an input before they compute."""

from __future__ import annotations

from monai.data import MetaTensor
from torch import Tensor


def plain(x: Tensor) -> Tensor:
    """View MONAI's MetaTensor as a plain tensor; another tensor, such as a tracer's, is returned as it is.

    MetaTensor handles its metadata in every operation, which costs more time than many an operation itself.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> type(plain(MetaTensor(torch.zeros(2))))
        <class 'torch.Tensor'>
    """
    return x.as_subclass(Tensor) if isinstance(x, MetaTensor) else x
