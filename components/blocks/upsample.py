"""Nearest-neighbour interpolation by whole factors, and the concatenation and convolution that follow in a U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..kernels.convolution import convolve
from ..kernels.interpolated import convolve_interpolated
from ..kernels.layout import trained_by_rows
from ..kernels.merged import convolve_merged
from ..kernels.workspace import in_workspace

FEW = 1024
"""Voxels below which it takes as long to sum the weights of :class:`Merged` as it saves."""


def upsample(x: Tensor, stride: Sequence[int], skip: Tensor | None = None, training: bool = False) -> Tensor | Merged:
    """Interpolate ``x`` to the nearest neighbour and concatenate the skip, if there is one, behind its channels.

    Args:
        x: (B, C, *spatial).
        stride: factor for each axis.
        skip: (B, S, *spatial · stride), or None.
        training: whether the network is in training mode.

    Returns:
        (B, C, *spatial · stride), or (B, C + S, *spatial · stride) with a skip. Of a map that is not tiny, it is not
        made in a workspace, nor in training by rows, but a :class:`Merged` is.

    Example:
        >>> x, skip = torch.tensor([[[[1.0, 2.0]]]]), torch.zeros(1, 1, 1, 4)
        >>> upsample(x, (1, 2), skip)[0, :, 0]
        tensor([[1., 1., 2., 2.],
                [0., 0., 0., 0.]])
    """
    if (in_workspace() or (training and trained_by_rows(x))) and x[0, 0].numel() >= FEW:
        return Merged(x, tuple(stride), skip)
    x = F.interpolate(x, scale_factor=[float(factor) for factor in stride], mode="nearest")
    return x if skip is None else torch.cat([x, skip], 1)


@dataclass(frozen=True)
class Merged:
    """What :func:`upsample` describes, as its parts: to convolve it, neither is interpolated or concatenated.

    Args:
        coarse: (B, C, *spatial), channels-last in memory.
        stride: factor for each axis.
        skip: (B, S, *spatial · stride), channels-last in memory, or None.
    """

    coarse: Tensor
    stride: tuple[int, ...]
    skip: Tensor | None

    def convolve(self, weight: Tensor, bias: Tensor, inplace: bool = False) -> Tensor:
        """Convolution by (F, C + S, *kernel_size), odd sizes, that keeps the size: (B, F, *spatial · stride).

        Args:
            weight: of the convolution.
            bias: of the convolution, (F).
            inplace: whether the result may overwrite the skip.
        """
        if torch.is_grad_enabled():
            return convolve_merged(self.coarse, self.stride, self.skip, weight, bias)
        channels = self.coarse.shape[1]
        if self.skip is None:
            return convolve_interpolated(self.coarse, self.stride, weight, bias)
        padding = [size // 2 for size in weight.shape[2:]]
        y = convolve(self.skip, weight[:, channels:], bias, [1] * len(padding), padding, inplace)
        return convolve_interpolated(self.coarse, self.stride, weight[:, :channels], None, onto=y)
