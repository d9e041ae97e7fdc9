"""Random patches, some of them centred on foreground."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from monai.config import KeysCollection
from monai.transforms import BorderPad, MapTransform, Randomizable, SpatialCrop
from monai.utils import convert_to_numpy, fall_back_tuple
from torch import Tensor

from ..regions import check_regions

TRIES = 64
"""Random voxels that are looked at before all that are known are listed."""


class RandPatchd(Randomizable, MapTransform):
    """Cut one random patch of a fixed size, padded with zeros where it reaches outside the image.

    An item whose ``foreground_key`` is true (:class:`components.data.EpochDataset` sets it) gets a patch around a
    foreground voxel: first one of the classes that the label map has is drawn, then one of its voxels, so that small
    organs are seen as often as large ones. The patch is moved inward where ``inner_size`` would leave the image. All
    other patches, and those of images without foreground, are drawn uniformly; with ``ignore_label`` they are centred
    on a voxel that is not ignored, where there is one. Source: nnU-Net (Isensee et al., 2021).

    Args:
        keys: the items to cut, each channel first, all on one grid.
        label_key: label map with one channel, 0 is background.
        spatial_size: size of the patch; an axis that is -1 takes all of the image.
        inner_size: the part in the patch's middle that must lie inside the image, where the image is large enough; all
            of it by default. A patch that is cut larger than what the network gets, so that it can be rotated, sets it
            to the network's size.
        foreground_key: item that says whether this patch is to be centred on foreground; a missing one means no.
        allow_missing_keys: whether items of ``keys`` may be missing.
        regions: the labels of each class where classes are sets of labels; None makes a class of each label.
        ignore_label: label of unlabelled voxels, which are not foreground, or None.

    Raises:
        ValueError: if a region is empty, or has the background or ``ignore_label`` in it; when called, if the image's
            number of axes does not fit ``spatial_size``, or the label map has more than one channel.

    Example:
        >>> import torch
        >>> label = torch.zeros(1, 9, 9)
        >>> label[0, 7, 2] = 3
        >>> patch = RandPatchd("label", label_key="label", spatial_size=[3, 3])
        >>> int(patch({"label": label, "foreground": True})["label"][0, 1, 1])
        3
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        spatial_size: Sequence[int],
        inner_size: Sequence[int] | None = None,
        foreground_key: str = "foreground",
        allow_missing_keys: bool = False,
        regions: Sequence[Sequence[int]] | None = None,
        ignore_label: int | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key
        self.spatial_size = tuple(spatial_size)
        self.inner_size = self.spatial_size if inner_size is None else tuple(inner_size)
        if len(self.inner_size) != len(self.spatial_size):
            raise ValueError(
                f"inner_size {self.inner_size} and spatial_size {self.spatial_size} must have as many axes"
            )
        self.foreground_key = foreground_key
        self.regions = None if regions is None else check_regions(regions, ignore_label)
        self.ignore_label = ignore_label
        self.start: np.ndarray | None = None

    def randomize(self, label: Tensor, foreground: bool) -> None:
        """Draw ``start``, the first voxel of the patch along each axis; below 0 it lies in the padding."""
        shape = np.array(label.shape[1:])
        size, inner = np.array(self._size(label)), fall_back_tuple(self.inner_size, shape)
        margin = np.maximum(size - np.minimum(inner, shape), 0)
        low = -(margin // 2)
        high = shape - size + (margin + 1) // 2
        voxel = self._centre(label, foreground) if foreground or self.ignore_label is not None else None
        self.start = self.R.randint(low, high + 1) if voxel is None else np.clip(voxel - size // 2, low, high)

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Cut the patch; other items are passed on."""
        d = dict(data)
        label = d[self.label_key]
        if label.shape[0] != 1 or label.ndim != len(self.spatial_size) + 1:
            raise ValueError(
                f"the {self.label_key!r} has shape {tuple(label.shape)}, but patches of {self.spatial_size} need one "
                f"channel and {len(self.spatial_size)} axes"
            )
        self.randomize(label, bool(d.get(self.foreground_key, False)))
        size = np.array(self._size(label))
        shape = np.array(label.shape[1:])
        before, after = np.maximum(-self.start, 0), np.maximum(self.start + size - shape, 0)
        crop = SpatialCrop(roi_start=np.maximum(self.start, 0), roi_end=np.minimum(self.start + size, shape))
        pad = BorderPad(np.stack([before, after], axis=1).ravel().tolist())
        for key in self.key_iterator(d):
            d[key] = pad(crop(d[key]))
        return d

    def _size(self, label: Tensor) -> tuple[int, ...]:
        return fall_back_tuple(self.spatial_size, label.shape[1:])

    def _centre(self, label: Tensor, foreground: bool) -> np.ndarray | None:
        """A voxel of a random class, or else one that is not ignored; None if any will do."""
        labels = convert_to_numpy(label)[0]
        voxel = self._foreground_voxel(labels.astype(np.int64)) if foreground else None
        if voxel is None and self.ignore_label is not None:
            voxel = self._known_voxel(labels)
        return None if voxel is None else np.array(np.unravel_index(voxel, labels.shape))

    def _foreground_voxel(self, labels: np.ndarray) -> int | None:
        classes = self._classes(np.bincount(labels.ravel()))
        if not len(classes):
            return None
        wanted = classes[self.R.choice(len(classes))]
        return self.R.choice(np.flatnonzero(labels == wanted[0] if len(wanted) == 1 else np.isin(labels, wanted)))

    def _known_voxel(self, labels: np.ndarray) -> int | None:
        for _ in range(TRIES):  # in most images soon found, without a list of all voxels
            voxel = self.R.randint(labels.size)
            if labels.flat[voxel] != self.ignore_label:
                return voxel
        voxels = np.flatnonzero(labels != self.ignore_label)
        return self.R.choice(voxels) if len(voxels) else None

    def _classes(self, counts: np.ndarray) -> Sequence[Sequence[int]]:
        """The labels of each class that the label map has."""
        present = [int(label) for label in np.flatnonzero(counts) if label not in (0, self.ignore_label)]
        if self.regions is None:
            return [(label,) for label in present]
        return [region for region in self.regions if not set(region).isdisjoint(present)]
