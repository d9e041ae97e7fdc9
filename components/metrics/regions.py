"""Label maps as masks, for MONAI's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai.utils import CommonKeys
from torch import Tensor

from ..regions import check_regions, region_masks


class RegionPairs:
    """Reads predictions and ground truths of an evaluator's output as masks: ``output_transform`` of a metric handler.

    Regions are sets of labels and may overlap. Voxels that are ignored in the ground truth are in no mask.

    Args:
        regions: the labels of each region.
        ignore_label: label of the ground truth's voxels that do not count; None counts all.

    Raises:
        ValueError: if a region is empty, or has the background or ``ignore_label`` in it.

    Example:
        >>> import torch
        >>> item = {"pred": torch.tensor([[0, 1, 2]]), "label": torch.tensor([[2, 2, 3]])}
        >>> (prediction,), (truth,) = RegionPairs([[1, 2]], ignore_label=3)([item])
        >>> prediction.tolist(), truth.tolist()
        ([[False, True, False]], [[True, True, False]])
    """

    def __init__(self, regions: Sequence[Sequence[int]], ignore_label: int | None = None) -> None:
        self.regions, self.ignore_label = check_regions(regions, ignore_label), ignore_label

    def __call__(self, output: Sequence[Mapping[str, Any]]) -> tuple[list[Tensor], list[Tensor]]:
        """Masks of all items, each (number of regions, *spatial)."""
        masks: tuple[list[Tensor], list[Tensor]] = ([], [])
        for item in output:
            truth = item[CommonKeys.LABEL]
            for key, found in zip((CommonKeys.PRED, CommonKeys.LABEL), masks, strict=True):
                mask = region_masks(item[key], self.regions)
                if self.ignore_label is not None:
                    mask &= region_masks(truth, [(self.ignore_label,)]).logical_not().to(mask.device)
                found.append(mask)
        return masks
