"""Nearest-neighbour interpolation by whole factors, with the concatenation that follows it in a U-Net."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from components.kernels.layout import by_rows


def upsample_concatenate(x: Tensor, skip: Tensor, stride: Sequence[int]) -> Tensor:
    """Interpolate ``x`` to the nearest neighbour and concatenate ``skip`` behind its channels.

    On a CPU the interpolated map is a view that repeats voxels, so that nothing is stored but the result.

    Args:
        x: (B, C, *spatial).
        skip: (B, S, *spatial · stride).
        stride: factor for each axis.

    Returns:
        (B, C + S, *spatial · stride), on a CPU channels-last in memory.

    Example:
        >>> x, skip = torch.tensor([[[[1.0, 2.0]]]]), torch.zeros(1, 1, 1, 4)
        >>> upsample_concatenate(x, skip, (1, 2))[0, :, 0]
        tensor([[1., 1., 2., 2.],
                [0., 0., 0., 0.]])
    """
    if not by_rows(x):
        return torch.cat([F.interpolate(x, scale_factor=[float(s) for s in stride], mode="nearest"), skip], 1)
    size, repeats = x.shape[2:], [number for pair in zip(x.shape[2:], stride, strict=True) for number in pair]
    rows = x.movedim(1, -1)
    for axis in reversed(range(len(size))):
        rows = rows.unsqueeze(axis + 2)
    rows = rows.expand(-1, *repeats, -1)
    for axis, (length, factor) in enumerate(zip(size, stride, strict=True)):
        skip = skip.unflatten(2 * axis + 2, (length, factor))
    merged = torch.cat([rows, skip.movedim(1, -1)], -1)
    for axis in range(len(size)):
        merged = merged.flatten(axis + 1, axis + 2)
    return merged.movedim(-1, 1)
