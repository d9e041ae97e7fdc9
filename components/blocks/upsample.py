"""Nearest-neighbour interpolation by whole factors, with the concatenation that follows it in a U-Net."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from components.kernels.layout import by_rows


def upsample(x: Tensor, stride: Sequence[int], skip: Tensor | None = None) -> Tensor:
    """Interpolate ``x`` to the nearest neighbour and concatenate the skip, if there is one, behind its channels.

    On channels-last maps, see :func:`components.kernels.layout.by_rows`, what is concatenated is a view of ``x`` that
    repeats voxels, so that nothing is stored but the result.

    Args:
        x: (B, C, *spatial).
        stride: factor for each axis.
        skip: (B, S, *spatial · stride), or None.

    Returns:
        (B, C, *spatial · stride), or (B, C + S, *spatial · stride) with a skip.

    Example:
        >>> x, skip = torch.tensor([[[[1.0, 2.0]]]]), torch.zeros(1, 1, 1, 4)
        >>> upsample(x, (1, 2), skip)[0, :, 0]
        tensor([[1., 1., 2., 2.],
                [0., 0., 0., 0.]])
    """
    if skip is None or not by_rows(x):
        x = F.interpolate(x, scale_factor=[float(factor) for factor in stride], mode="nearest")
        return x if skip is None else torch.cat([x, skip], 1)
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
