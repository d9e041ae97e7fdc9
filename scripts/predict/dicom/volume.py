"""A DICOM series as a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from .files import library, read_file, sop_class
from .pixels import PIXELS, stored_values
from .planes import Plane, planes_of
from .stack import one_volume

if TYPE_CHECKING:
    from pydicom import Dataset

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM counts to the left and to posterior, NIfTI to the right and to anterior."""


@dataclass(frozen=True)
class Volume:
    """A DICOM series as a volume.

    Args:
        image: voxels, columns × rows × slices, with their affine to the patient (RAS, mm).
        planes: the slices in the order of the volume, without their pixels.
    """

    image: nib.Nifti1Image
    planes: list[Plane]

    @property
    def datasets(self) -> list[Dataset]:
        """The files that have the slices, each once, without their pixels."""
        return list({id(plane.dataset): plane.dataset for plane in self.planes}.values())


def read_series(files: Sequence[Path], modality: str, number: int | None = None) -> Volume:
    """Read the voxels of a series, in the units that its rescaling gives: Hounsfield units for CT.

    The grid is that of SimpleITK and most other software: columns, rows, and slices along their normal.

    Args:
        files: the slices in any order, or one multi-frame file.
        modality: what the bundle takes, "CT" or "MR"; any other word takes all.
        number: which volume is taken, from 1 on, of a series with several (echoes, time points, …).

    Raises:
        UserError: if pydicom is not installed.
        ValueError: if the files are no regular volume of this modality, or cannot be decoded.
    """
    datasets, pixels = [], []
    for path in files:
        dataset = read_file(path)
        _check_modality(dataset, modality)
        pixels.append(stored_values(dataset))
        for name in PIXELS:
            if name in dataset:
                del dataset[name]
        datasets.append(dataset)
    planes = one_volume(planes_of(datasets, pixels), number)
    return Volume(_image(planes), [_without_pixels(plane) for plane in planes])


def _check_modality(dataset: Dataset, modality: str) -> None:
    if modality not in ("CT", "MR"):
        return
    found = str(dataset.get("Modality") or "")
    if not found:
        name = library("pydicom").uid.UID(sop_class(dataset)).name
        found = next((kind for kind in ("CT", "MR") if f"{kind} Image" in name), "")
    if not found:
        raise ValueError(f"the series has no Modality, but the bundle takes {modality}")
    if found != modality:
        raise ValueError(f"the series is of modality {found}, but the bundle takes {modality}")


def _image(planes: Sequence[Plane]) -> nib.Nifti1Image:
    first, last = planes[0], planes[-1]
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * first.spacing[1]
    affine[:3, 1] = first.orientation[3:] * first.spacing[0]
    alone = len(planes) == 1
    affine[:3, 2] = first.normal * first.thickness if alone else (last.position - first.position) / (len(planes) - 1)
    affine[:3, 3] = first.position
    array = np.stack([plane.pixels.T for plane in planes], axis=-1)
    image = nib.Nifti1Image(array, LPS_TO_RAS @ affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code="scanner")
    image.set_qform(image.affine, code="scanner")
    return image


def _without_pixels(plane: Plane) -> Plane:
    return Plane(**{**vars(plane), "pixels": np.empty(plane.pixels.shape[:0])})
