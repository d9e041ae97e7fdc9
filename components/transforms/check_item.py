"""A look at an item as it was loaded, before it is worked on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey
from torch import Tensor

TOLERANCE_MM = 1e-3
"""Difference of two affines that rounding in a header can make."""
HINT = "`scanseg data check DATASET_DIR` looks for all faults of a data set"


class CheckItemd(MapTransform):
    """Refuses an image or a label map that would make a training or a result silently wrong.

    Refused are images with no voxel, with NaN or infinity, of one value throughout, or with another number of channels,
    and label maps of another shape or another affine than the image, or with labels that the network does not have.
    A single slice of a volume, and so a training slice, may be of one value: there is nothing to see beside a body.

    It reads every voxel once, which takes a small part of the time of loading. Nothing is changed.

    Args:
        keys: keys of the items to look at; what is neither image nor label is left alone.
        channels: number of channels of an image.
        num_classes: number of classes, background included; 0 takes any labels.
        image_key: key of the image.
        label_key: key of the label map.
        allow_missing_keys: whether a key may be missing.

    Shape:
        Image and label (C, H, W) or (C, H, W, D), the channels first.

    Raises:
        ValueError: while it runs, with the file and the remedy.

    Example:
        >>> item = {"image": torch.rand(1, 4, 4), "label": torch.full((1, 4, 4), 9)}
        >>> CheckItemd(["image", "label"], channels=1, num_classes=4)(item)
        Traceback (most recent call last):
        ValueError: label: it has the label 9, but the network has 0 to 3: correct the label map, or class_names; \
`scanseg data check DATASET_DIR` looks for all faults of a data set
    """

    def __init__(
        self,
        keys: KeysCollection,
        channels: int,
        num_classes: int = 0,
        image_key: str = "image",
        label_key: str = "label",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channels, self.num_classes = channels, num_classes
        self.image_key, self.label_key = image_key, label_key

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Look at the items of all keys."""
        result = dict(data)
        for key in self.key_iterator(result):
            fault = ""
            if key == self.image_key:
                fault = self._image_fault(result[key])
            elif key == self.label_key:
                fault = self._label_fault(result[key], result.get(self.image_key))
            if fault:
                raise ValueError(f"{_name(result[key], str(key))}: {fault}; {HINT}")
        return result

    def _image_fault(self, image: Tensor) -> str:
        if fault := self._shape_fault(image, self.channels):
            return fault
        if not image.is_floating_point() and not image.is_complex():
            image = image.to(torch.float32)
        low, high = (float(value) for value in torch.aminmax(_plain(image)))
        if not (abs(low) < float("inf") and abs(high) < float("inf")):  # NaN compares as false
            return "it has voxels that are NaN or infinite: repair or leave out the image"
        slices = image.shape[3] if image.ndim == 4 else 0
        if low == high and slices != 1:
            return f"all voxels are {low:g}, so there is nothing to see: leave out the image"
        return ""

    def _label_fault(self, label: Tensor, image: Tensor | None) -> str:
        if fault := self._shape_fault(label, 1):
            return fault
        if image is not None and label.shape[1:] != image.shape[1:]:
            return f"its shape is {_shown(label)}, but that of its image is {_shown(image)}: they must be on one grid"
        if isinstance(label, MetaTensor) and isinstance(image, MetaTensor):
            distance = float((label.affine - image.affine).abs().max())
            if not distance <= TOLERANCE_MM:
                return f"its affine differs from that of its image by up to {distance:g} mm: they must be on one grid"
        return self._value_fault(_plain(label)) if self.num_classes else ""

    def _value_fault(self, label: Tensor) -> str:
        low, high = (float(value) for value in torch.aminmax(label))
        if not (low >= 0 and high < self.num_classes):
            wrong = low if low < 0 else high
            named = f"the label {wrong:g}, but" if wrong == wrong else "labels that are NaN, but"
            known = f"0 to {self.num_classes - 1}"
            return f"it has {named} the network has {known}: correct the label map, or class_names"
        if label.is_floating_point() and not torch.equal(label, label.round()):
            return "it has labels with fractions: a label map is resampled by nearest neighbours only"
        return ""

    @staticmethod
    def _shape_fault(image: Tensor, channels: int) -> str:
        if not image.numel():
            return f"its shape is {_shown(image)}, so that it has no voxel"
        if image.shape[0] != channels:
            return f"it has {image.shape[0]} channels, but {channels} {'are' if channels != 1 else 'is'} needed"
        return ""


def _plain(image: Tensor) -> Tensor:
    return image.as_tensor() if isinstance(image, MetaTensor) else image


def _shown(image: Tensor) -> str:
    return " × ".join(map(str, image.shape[1:]))


def _name(image: Tensor, key: str) -> str:
    return str(image.meta.get(ImageMetaKey.FILENAME_OR_OBJ, key)) if isinstance(image, MetaTensor) else key
