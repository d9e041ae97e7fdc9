"""Classes that are sets of labels and may overlap, such as a tumour and its core."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.utils import convert_to_tensor
from torch import Tensor


def check_regions(regions: Sequence[Sequence[int]], ignore_label: int | None = None) -> tuple[tuple[int, ...], ...]:
    """The labels of each region, as tuples.

    Raises:
        ValueError: if there is no region, or one is empty or has the background or ``ignore_label`` in it.

    Example:
        >>> check_regions([[1, 2, 3], [3]])
        ((1, 2, 3), (3,))
    """
    checked = tuple(tuple(int(label) for label in region) for region in regions)
    if not checked or not all(checked):
        raise ValueError(f"regions must be lists of labels, one list for each region, not {regions!r}")
    for forbidden, name in ((0, "the background"), (ignore_label, "ignored")):
        if any(forbidden in region for region in checked):
            raise ValueError(f"the label {forbidden} is {name}: it must not be in any region of {regions!r}")
    return checked


def region_masks(labels: Tensor, regions: Sequence[Sequence[int]], dim: int = 0) -> Tensor:
    """A mask for each region of label maps.

    Args:
        labels: whole numbers of any type, with one channel.
        regions: the labels of each region.
        dim: the axis of the channels: 0 for one map (1, *spatial), 1 for a batch (B, 1, *spatial).

    Returns:
        Booleans, with a channel for each region in place of the single one, without metadata.

    Example:
        >>> region_masks(torch.tensor([[0, 1, 2, 3]]), [[1, 2, 3], [3]]).int()
        tensor([[0, 1, 1, 1],
                [0, 0, 0, 1]], dtype=torch.int32)
    """
    labels = convert_to_tensor(labels, track_meta=False)
    return torch.cat([torch.isin(labels, labels.new_tensor(region)) for region in regions], dim)
