"""NIfTI files in the orientation of a radiological display."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt

from components.images.nifti import read_nifti
from components.images.orientation import reoriented

AXES = "PLS"
"""Where the axes of an array point to: rows to posterior, columns to the patient's left, slices to superior."""


def unknown_grid(array: np.ndarray, axes: str) -> nib.Nifti1Image:
    """An image of voxels of 1 mm, for arrays that come without a place in the world.

    Args:
        array: voxels with 3 axes.
        axes: where the axes point to, for example "PLS".
    """
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(axcodes2ornt(tuple(axes))):
        affine[int(world), axis] = sign
    return nib.Nifti1Image(array, affine)


def load(path: Path) -> nib.Nifti1Image:
    """Read an image of three axes in the orientation :data:`AXES`.

    Raises:
        ValueError: if the file is not a readable NIfTI image with three axes.
        OSError, EOFError, zlib.error: if it is damaged.
        FileNotFoundError: if there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(2, "no such image", str(path))
    image = read_nifti(path)
    if image.ndim != 3:
        raise ValueError(f"{path} has shape {image.shape}, but an image with 3 axes is needed")
    return reoriented(image, AXES)


def save(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write an array as compressed NIfTI in mm; the same input gives the same bytes.

    Args:
        path: the file, ending in ``.nii.gz``; its folder is made where it is missing.
        array: voxels with 3 axes, in the type to be stored.
        affine: 4 × 4 matrix from voxel numbers to world positions in mm.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
