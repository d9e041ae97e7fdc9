"""A test case on one grid, and its planes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.images.endings import is_volume

from ..data.reading import read_nifti, read_picture
from ..errors import UserError
from ..folds.cases import ScoredCase

WINDOWS = {"CT": (-125.0, 275.0)}
"""Intensities shown as black and white; pictures of 8 bits are shown as they are, all others from their 1st to their
99th percentile."""


@dataclass(frozen=True)
class Plane:
    """A way to cut a volume into slices.

    Args:
        name: what it is called.
        axis: axis of the volume that counts the slices.
        sides: what is at the left and at the top of a picture, for readers.
    """

    name: str
    axis: int
    sides: str = ""


PLANES = (
    Plane("axial", 2, "the patient's right is at the left, anterior at the top"),
    Plane("coronal", 0, "the patient's right is at the left, superior at the top"),
    Plane("sagittal", 1, "anterior is at the left, superior at the top"),
)
PICTURE = Plane("picture", 2)


@dataclass(frozen=True)
class Volume:
    """A test case on one grid; a picture is a volume of one slice.

    NIfTI images have rows to posterior, columns to the patient's left and slices to superior; pictures are as stored.

    Args:
        name: name of the case.
        image: grey levels 0 … 255, rows × columns × slices, or rows × columns × slices × 3 for colours.
        truth: labels of the ground truth, rows × columns × slices, or None.
        prediction: predicted labels, rows × columns × slices.
        spacing: size of a voxel along the three axes, in mm or any other unit.
        flat: whether it is a picture.
        ignore: label of the ground truth's voxels that are not scored, or None.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray | None
    prediction: np.ndarray
    spacing: tuple[float, float, float]
    flat: bool = False
    ignore: int | None = None

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The planes in which it is shown."""
        return (PICTURE,) if self.flat else PLANES

    def slices(self, plane: Plane, count: int) -> list[int]:
        """Numbers of up to ``count`` slices of a plane, spread evenly from the first to the last one with a label."""
        found = np.flatnonzero(self._labelled(plane))
        first, last = (found[0], found[-1]) if len(found) else (0, self.image.shape[plane.axis] - 1)
        count = min(count, last - first + 1)
        if count == 1:
            return [int((first + last) // 2)]
        return [int(number) for number in np.linspace(first, last, count).round()]

    def fullest(self, plane: Plane, numbers: list[int]) -> int:
        """The slice with the most labelled pixels, of those given; the middle one of slices without any."""
        labelled = self._labelled(plane)
        return max(numbers, key=lambda number: (labelled[number], -abs(number - np.mean(numbers))))

    def cut(self, array: np.ndarray, plane: Plane, number: int) -> np.ndarray:
        """A slice of one of the arrays as it is displayed: rows × columns, or rows × columns × 3."""
        found = np.take(array, number, axis=plane.axis)
        return found if plane.axis == 2 else np.swapaxes(found, 0, 1)[::-1]

    def pixel(self, plane: Plane) -> tuple[float, float]:
        """Height and width of a pixel of a slice."""
        rows, columns, slices = self.spacing
        return {2: (rows, columns), 0: (slices, columns), 1: (slices, rows)}[plane.axis]

    @functools.cached_property
    def errors(self) -> np.ndarray:
        """Error map: 0 none, 1 false positive, 2 false negative, 3 wrong class.

        Raises:
            ValueError: if there is no ground truth.
        """
        if self.truth is None:
            raise ValueError(f"{self.name} has no ground truth")
        predicted, present = self.prediction > 0, self.truth > 0
        errors = np.zeros(self.truth.shape, np.uint8)
        errors[predicted & ~present] = 1
        errors[present & ~predicted] = 2
        errors[predicted & present & (self.prediction != self.truth)] = 3
        if self.ignore is not None:
            errors[self.truth == self.ignore] = 0
        return errors

    def _labelled(self, plane: Plane) -> np.ndarray:
        others = tuple(axis for axis in range(3) if axis != plane.axis)
        labelled = (self.prediction > 0).sum(others)
        if self.truth is None:
            return labelled
        return labelled + ((self.truth > 0) & (self.truth != (self.ignore or 0))).sum(others)


def read_volume(case: ScoredCase, modality: str = "", ignore: int | None = None) -> Volume:
    """Read a case and bring it on the grid of its image.

    Args:
        case: its files.
        modality: modality of the image, which says how it is windowed.
        ignore: label of the ground truth's voxels that are not scored, or None.

    Raises:
        UserError: if a file is missing or damaged, or the label or the prediction is on another grid.
    """
    if not case.prediction.is_file():
        raise UserError(f"there is no {case.prediction}: run inferring first")
    image_file = case.images[0]
    image, spacing = _read(image_file)
    eight_bits = not is_volume(image_file) and image.dtype == np.uint8
    return Volume(
        case.name,
        image if eight_bits else grey_levels(image, modality),
        None if case.label is None else read_labels(case.label, image.shape[:3]),
        read_labels(case.prediction, image.shape[:3]),
        spacing,
        flat=not is_volume(image_file),
        ignore=ignore,
    )


def grey_levels(image: np.ndarray, modality: str = "") -> np.ndarray:
    """Intensities as uint8: through the window of the modality, or from the 1st to the 99th percentile."""
    low, high = WINDOWS.get(modality, tuple(np.nanpercentile(image, (1, 99))))
    levels = (np.nan_to_num(image.astype(np.float32)) - low) * (255 / max(high - low, 1e-6))
    return levels.clip(0, 255).round().astype(np.uint8)


def read_labels(path: Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A label map, rows × columns × slices.

    Args:
        path: NIfTI or a picture.
        shape: the shape that it must have; any by default.

    Raises:
        UserError: if the file is damaged or its shape is another.
    """
    labels, _ = _read(path, numbers=True)
    if shape is not None and labels.shape != shape:
        raise UserError(f"{path.name} has shape {labels.shape}, but its image {shape}: they must be on one grid")
    return np.rint(labels).astype(np.int16)


def _read(path: Path, numbers: bool = False) -> tuple[np.ndarray, tuple[float, float, float]]:
    if not is_volume(path):
        return read_picture(path, numbers)[:, :, None], (1.0, 1.0, 1.0)
    array, image = read_nifti(path)
    rows, columns, slices = (float(size) for size in image.header.get_zooms()[:3])
    return array, (rows, columns, slices)
