"""What both networks do with an input before they compute."""

from __future__ import annotations

from torch import Tensor


def plain(x: Tensor) -> Tensor:
    """View a tensor of a subclass, such as MONAI's MetaTensor, as a plain one.

    MetaTensor handles its metadata in every operation, which costs more time than many an operation itself.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> type(plain(MetaTensor(torch.zeros(2))))
        <class 'torch.Tensor'>
    """
    return x if type(x) is Tensor else x.as_subclass(Tensor)
