"""Writing the cases of a data set, with a record of what was written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from components.files import replacing
from components.images.intensities import rgb8
from components.images.nifti import write_nifti
from components.images.pictures import is_png, read_picture

from .dataset import Item, files_of, item_paths


class Output:
    """Writes images and labels into a data set; every file is whole or not there.

    Args:
        folder: the data set.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: list[tuple[str, Item]] = []
        self.voxels: dict[int, int] = {}
        self.empty: list[str] = []

    def record(self) -> dict[str, Any]:
        """What was written, as JSON: items with their part, voxels of each class, labels without any class."""
        voxels = {str(number): count for number, count in sorted(self.voxels.items())}
        return {"items": self.items, "voxels": voxels, "empty": self.empty}

    def volume(
        self,
        part: str,
        name: str,
        image: np.ndarray | Sequence[np.ndarray],
        label: np.ndarray,
        affine: np.ndarray,
    ) -> None:
        """Write a volume as NIfTI.

        Args:
            part: "training", "validation" or "test".
            name: name of the case.
            image: voxels, rows × columns × slices; or those of each channel, which become files of their own.
            label: classes on the same grid.
            affine: 4 × 4 matrix from voxel numbers to world positions in mm.
        """
        channels = [image] if isinstance(image, np.ndarray) else list(image)
        item = self._enter(part, name, ".nii.gz", label, ("image", "label"), len(channels))
        for path, array in zip(
            (*files_of(item["image"]), item["label"]), (*channels, label.astype(np.uint8)), strict=True
        ):
            with replacing(self.folder / path) as partial:
                write_nifti(partial, array, affine)

    def slices(self, part: str, name: str, image: np.ndarray, label: np.ndarray, affine: np.ndarray) -> None:
        """Write each slice of a volume as a case of its own, ``NAME_slice000`` and so on; arguments as of volume."""
        for z in range(image.shape[2]):
            moved = affine.copy()
            moved[:3, 3] += z * affine[:3, 2]
            self.volume(part, f"{name}_slice{z:03d}", image[:, :, z : z + 1], label[:, :, z : z + 1], moved)

    def picture(
        self, part: str, name: str, image: np.ndarray | Path, label: np.ndarray, instances: np.ndarray | None = None
    ) -> None:
        """Write a picture as PNG.

        Args:
            part: "training", "validation" or "test".
            name: name of the case.
            image: H × W × 3, uint8; or a file, which is copied as it is where it is such a PNG.
            label: classes, H × W.
            instances: numbers of the objects, H × W, or None.
        """
        keys = ("image", "label") if instances is None else ("image", "label", "instances")
        item = self._enter(part, name, ".png", label, keys)
        with replacing(self.folder / item["image"]) as partial:
            picture = read_picture(image) if isinstance(image, Path) else None
            if picture is not None and picture.plain and picture.array.ndim == 3 and is_png(image):
                shutil.copyfile(image, partial)
            else:
                Image.fromarray(image if picture is None else rgb8(picture.array)).save(partial)
        maps = {"label": label.astype(np.uint8)}
        if instances is not None:
            maps["instances"] = numbered(instances)
        for key, array in maps.items():
            with replacing(self.folder / item[key]) as partial:
                Image.fromarray(array).save(partial)

    def _enter(
        self, part: str, name: str, suffix: str, label: np.ndarray, keys: Sequence[str], channels: int = 1
    ) -> Item:
        item = item_paths(part, name, suffix, keys, channels)
        self.items.append((part, item))
        numbers, counts = np.unique(label, return_counts=True)
        for number, count in zip(numbers, counts, strict=True):
            if number:
                self.voxels[int(number)] = self.voxels.get(int(number), 0) + int(count)
        if not label.any():
            self.empty.append(item["label"])
        return item


def numbered(instances: np.ndarray) -> np.ndarray:
    """Instance numbers as uint16; they are kept where they fit and counted anew where not.

    Raises:
        ValueError: if there are more than 65,535 instances, or numbers below 0 or with fractions.

    Example:
        >>> numbered(np.array([0, 5, 70000]))
        array([0, 1, 2], dtype=uint16)
    """
    if instances.min() < 0 or not np.array_equal(instances, np.rint(instances)):
        raise ValueError("instance numbers must be whole and not below 0")
    if instances.max() > np.iinfo(np.uint16).max:
        shape = instances.shape
        found, instances = np.unique(instances, return_inverse=True)
        instances = instances.reshape(shape) + (found[0] != 0)
        if len(found) > np.iinfo(np.uint16).max:
            raise ValueError(f"{len(found)} instances are more than a 16-bit map can hold: cut the image into tiles")
    return instances.astype(np.uint16)
