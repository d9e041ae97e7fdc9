"""From the logits of overlapping regions to a label map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch import Tensor


def write_regions(chances: Tensor, order: Sequence[int]) -> Tensor:
    """Write regions into a label map, one after the other, as nnU-Net does (Isensee et al., 2021).

    Args:
        chances: the probability of each region, (R, *spatial).
        order: the label to write for each region (nnU-Net's ``regions_class_order``).

    Returns:
        (1, *spatial) in float32: the label of the last region that is more probable than a half, or else 0.
    """
    labels = torch.zeros_like(chances[:1], dtype=torch.float32)
    for channel, label in zip(chances, order, strict=True):
        labels[0][channel > 0.5] = label
    return labels


class RegionsToLabelsd(MapTransform):
    """Write the regions that a network finds into one label map, one after the other.

    A voxel gets the label of the last region whose probability, the sigmoid of its logit, is more than a half, and 0
    where there is none. Source: nnU-Net (Isensee et al., 2021).

    Args:
        keys: the items, logits with a channel for each region.
        order: the label to write for each region, in the order of the channels (nnU-Net's ``regions_class_order``).
        allow_missing_keys: whether items may be missing.

    Raises:
        ValueError: when called, if there are more or fewer channels than labels.

    Shape:
        Logits (R, *spatial) become labels (1, *spatial), in float32 as of MONAI's ``AsDiscrete``.

    Example:
        >>> RegionsToLabelsd("pred", order=[1, 2])({"pred": torch.tensor([[5.0, 5.0, -5.0], [-5.0, 5.0, -5.0]])})
        {'pred': tensor([[1., 2., 0.]])}
    """

    def __init__(self, keys: KeysCollection, order: Sequence[int], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.order = tuple(order)

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Decode the items; other items are passed on."""
        d = dict(data)
        for key in self.key_iterator(d):
            logits = convert_to_tensor(d[key], track_meta=False)
            if len(logits) != len(self.order):
                raise ValueError(f"the {key!r} has {len(logits)} channels, but order names {len(self.order)} regions")
            labels = write_regions(logits.float().sigmoid(), self.order)
            d[key] = convert_to_dst_type(labels, d[key], dtype=torch.float32)[0]
        return d
