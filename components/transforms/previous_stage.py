"""The label map of a previous stage as further input of a network, as in nnU-Net's cascade (Isensee et al., 2021)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_dst_type, convert_to_numpy, convert_to_tensor
from scipy import ndimage
from torch import Tensor

from ..validation import check_range


def dilation(mask: np.ndarray, radius: float) -> np.ndarray:
    """All voxels at most ``radius`` voxels away from a mask: binary dilation by a ball."""
    if not mask.any():
        return mask
    box = _box(mask, math.floor(radius))
    grown = np.zeros_like(mask)
    grown[box] = ndimage.distance_transform_edt(~mask[box]) <= radius
    return grown


def erosion(mask: np.ndarray, radius: float) -> np.ndarray:
    """The voxels of a mask more than ``radius`` voxels away from all others; outside of the image nothing counts."""
    if mask.all() or not mask.any():
        return mask
    box = _box(mask, 1)
    left = np.zeros_like(mask)
    left[box] = ndimage.distance_transform_edt(mask[box]) > radius
    return left


def opening(mask: np.ndarray, radius: float) -> np.ndarray:
    """Erosion, then dilation."""
    return dilation(erosion(mask, radius), radius)


def closing(mask: np.ndarray, radius: float) -> np.ndarray:
    """Dilation, then erosion."""
    return erosion(dilation(mask, radius), radius)


OPERATORS = (dilation, erosion, opening, closing)


class _RandLabelsd(RandomizableTransform, MapTransform):
    """Change the labels of a map at random; a subclass says how."""

    def __init__(self, keys: KeysCollection, labels: Sequence[int], prob: float, allow_missing_keys: bool) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.labels = list(labels)

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Change the items; other items are passed on."""
        d = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return d
        for key in self.key_iterator(d):
            (labels,) = convert_to_numpy(d[key]).copy()
            self._change(labels)
            d[key] = convert_to_dst_type(labels[None], d[key])[0]
        return d

    def _change(self, labels: np.ndarray) -> None:
        """Change a map of (*spatial) in place."""
        raise NotImplementedError


class RandMorphologyd(_RandLabelsd):
    """Dilate, erode, open or close each label of a map by a ball, so that a network does not trust its border.

    Every label gets an operator and a radius of its own, in random order. A label that grows overwrites others, and
    where it shrinks the background is left.

    Args:
        keys: the label maps, each with one channel first.
        labels: the labels to work on.
        prob: probability that anything is done to an item.
        radius: smallest and largest radius of the ball in voxels.
        allow_missing_keys: whether items may be missing.

    Raises:
        ValueError: if an argument is out of its range.

    Source: nnU-Net's augmentation of the cascade. Its balls have whole diameters, the even ones of which move the map
    by half a voxel; these are around a voxel.

    Example:
        >>> shake = RandMorphologyd("previous", labels=[1, 2], prob=0.4).set_random_state(seed=0)
        >>> shake({"previous": torch.ones(1, 8, 8, 8)})["previous"].shape
        torch.Size([1, 8, 8, 8])
    """

    def __init__(
        self,
        keys: KeysCollection,
        labels: Sequence[int],
        prob: float = 0.4,
        radius: Sequence[float] = (1.0, 8.0),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, labels, prob, allow_missing_keys)
        self.radius = check_range("radius", radius, least=0.0)

    def _change(self, labels: np.ndarray) -> None:
        for label in self.R.permutation(self.labels):
            change = OPERATORS[self.R.randint(len(OPERATORS))]
            before = labels == label
            after = change(before, self.R.uniform(*self.radius))
            labels[before] = 0
            labels[after] = label


class RandRemoveComponentd(_RandLabelsd):
    """Remove a random connected component of each label of a map, so that a network finds what the map lacks.

    Args:
        keys: the label maps, each with one channel first; voxels that touch by a corner are connected.
        labels: the labels to work on.
        prob: probability that anything is done to an item.
        largest: components of this part of the voxels of the map or more stay, 0 to 1.
        allow_missing_keys: whether items may be missing.

    Raises:
        ValueError: if ``largest`` is not in 0 to 1.

    Source: nnU-Net's augmentation of the cascade.

    Example:
        >>> forget = RandRemoveComponentd("previous", labels=[1], prob=1.0)
        >>> forget({"previous": torch.eye(9)[:1, :, None]})["previous"].sum()
        tensor(0.)
    """

    def __init__(
        self,
        keys: KeysCollection,
        labels: Sequence[int],
        prob: float = 0.2,
        largest: float = 0.15,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, labels, prob, allow_missing_keys)
        if not 0 <= largest <= 1:
            raise ValueError(f"largest must be a part of the voxels from 0 to 1, got {largest}")
        self.largest = largest

    def _change(self, labels: np.ndarray) -> None:
        for label in self.labels:
            found, _ = ndimage.label(labels == label, np.ones([3] * labels.ndim))
            sizes = np.bincount(found.ravel())
            small = [n for n in range(1, len(sizes)) if sizes[n] < self.largest * labels.size]
            if small:
                labels[found == self.R.choice(small)] = 0


class AppendOneHotd(MapTransform):
    """Append a label map to images as further channels, one of 0 and 1 for each label, and drop the map.

    Args:
        keys: the images, channels first.
        label_key: the label map on their grid, with one channel.
        labels: the labels that get a channel, in this order; the background needs none.
        allow_missing_keys: whether images may be missing.

    Shape:
        Images (C, *spatial) become (C + number of labels, *spatial), in their own type.

    Example:
        >>> item = {"image": torch.full((1, 3), 7.0), "previous": torch.tensor([[0, 1, 2]])}
        >>> AppendOneHotd("image", label_key="previous", labels=[1, 2])(item)
        {'image': tensor([[7., 7., 7.],
                [0., 1., 0.],
                [0., 0., 1.]])}
    """

    def __init__(
        self, keys: KeysCollection, label_key: str, labels: Sequence[int], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key
        self.labels = list(labels)

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Append the map to the images; other items are passed on."""
        d = dict(data)
        labels = convert_to_tensor(d.pop(self.label_key), track_meta=False)
        masks = torch.cat([labels == label for label in self.labels])
        for key in self.key_iterator(d):
            image = convert_to_tensor(d[key], track_meta=False)
            d[key] = convert_to_dst_type(torch.cat([image, masks.to(image)]), d[key])[0]
        return d


def _box(mask: np.ndarray, margin: int) -> tuple[slice, ...]:
    """Where a mask is, and so many voxels around it."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    return tuple(slice(max(0, axis.start - margin), axis.stop + margin) for axis in box)
