"""Volumes of any format as NIfTI images in memory."""

from __future__ import annotations

import errno
import gzip
import os
import re
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np

from .endings import VOLUMES, ending_of, kind_of
from .grid import STORED, placed
from .nifti import read_nifti
from .stacks import is_stack, read_stack

ITK_FORMATS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
ITK_TO_NIFTI = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK counts to the left and to posterior (LPS), NIfTI to the right and to anterior (RAS)."""


def read_volume(path: str | Path) -> nib.Nifti1Image:
    """A volume with its affine in mm (RAS), whatever its format.

    Args:
        path: a file with one of the endings :data:`~components.images.endings.VOLUMES`, or a TIFF stack, see
            :mod:`components.images.stacks`.

    Returns:
        The image, X × Y × Z, or X × Y × Z × channels; axes of length 1 after the third, as of a single time point, are
        left out. That of an uncompressed NIfTI file reads its voxels when they are needed, all others are in memory.
        What the file says of the place of the voxels is put into mm, see :func:`components.images.grid.placed`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read as a volume, or its voxels have no place or a size that no scan has.
        OSError, EOFError, zlib.error: if it is damaged.
        ImportError: if SimpleITK is needed and missing.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError("it is a folder, but an image file is needed")
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if is_stack(path):
        return placed(read_stack(path))
    if ending_of(path) not in VOLUMES:
        raise ValueError(f"it is not a volume of a known format: {', '.join(VOLUMES)}")
    readers = {"nifti": read_nifti, "nibabel": _read_nibabel, "itk": _read_itk}
    return placed(_without_single_axes(readers[kind_of(path)](path)))


def simple_itk() -> ModuleType:
    """SimpleITK.

    Raises:
        ImportError: that names the extra to install.
    """
    try:
        import SimpleITK as sitk
    except ImportError as error:
        raise ImportError("it needs SimpleITK: pip install 'scanseg[formats]'") from error
    return sitk


def _read_nibabel(path: Path) -> nib.Nifti1Image:
    """NIfTI or Analyze as a pair of files, and FreeSurfer's formats."""
    try:
        if ending_of(path) == ".mgz":
            image = nib.MGHImage.from_bytes(gzip.decompress(path.read_bytes()))  # to the end, where the checksum is
        else:
            image = nib.load(path)
        array = np.asanyarray(image.dataobj)
    except (OSError, EOFError):
        raise
    except Exception as error:  # a damaged header makes nibabel fail in many ways
        told = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"its header is damaged, or its other half is missing: {told}") from error
    if isinstance(image, nib.Nifti1Pair):
        header = nib.Nifti1Header.from_header(image.header)
        return nib.Nifti1Image(array, image.affine, header)
    return in_mm(array, image.affine)


def _read_itk(path: Path) -> nib.Nifti1Image:
    sitk = simple_itk()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        # Named, since ITK takes endings in small letters only.
        volume = sitk.ReadImage(str(path), imageIO=ITK_FORMATS[ending_of(path)])
    except RuntimeError as error:
        raise ValueError(_itk_reason(error)) from error
    dims = volume.GetDimension()
    if dims < 3:
        raise ValueError(f"it has {dims} axes, but a volume with 3 is needed")
    array = sitk.GetArrayFromImage(volume)
    vector = volume.GetNumberOfComponentsPerPixel() > 1
    array = np.moveaxis(array.T, 0, -1) if vector else array.T
    affine = np.eye(4)
    direction = np.reshape(volume.GetDirection(), (dims, dims))[:3, :3]
    affine[:3, :3] = direction * volume.GetSpacing()[:3]
    affine[:3, 3] = volume.GetOrigin()[:3]
    return in_mm(np.ascontiguousarray(array), ITK_TO_NIFTI @ affine)


def in_mm(array: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    """Voxels with their place in the world as a NIfTI image; whole numbers of 64 bits become float64."""
    array = array.astype(np.float64) if array.dtype in (np.int64, np.uint64) else array
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    return image


def _without_single_axes(image: nib.Nifti1Image) -> nib.Nifti1Image:
    if image.ndim <= 3 or 1 not in image.shape[3:]:
        return image
    array = np.asanyarray(image.dataobj)
    array = array.reshape(*array.shape[:3], *(size for size in array.shape[3:] if size != 1))
    return type(image)(array, image.affine, image.header, extra={STORED: image})


def _itk_reason(error: RuntimeError) -> str:
    """The last part of ITK's message, without positions in its source."""
    told = " ".join(str(error).split())
    for mark in ("ITK ERROR: ", "sitk::ERROR: "):
        told = told.rpartition(mark)[2]
    told = re.sub(r"^\w+ ?\(0x[0-9a-f]+\): ", "", told).removesuffix(" Reason: Success")
    return told or type(error).__name__
