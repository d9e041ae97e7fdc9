"""What both networks do with an input before they compute."""

from __future__ import annotations

from monai.data import MetaTensor
from torch import Tensor


def channels_last(x: Tensor) -> Tensor:
    """Order the memory of (B, C, *spatial) by voxels, then channels: the order in which CPU convolutions are fastest.

    Written so that an image of one channel, whose two orders are the same memory, is also marked as channels-last.

    Example:
        >>> import torch
        >>> channels_last(torch.zeros(1, 1, 2, 3)).stride()
        (6, 1, 3, 1)
    """
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


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
