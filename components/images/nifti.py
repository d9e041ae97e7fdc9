"""NIfTI: read to its end, so that damage is noticed wherever a file has a checksum, and written."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import nibabel as nib
import numpy as np


def read_nifti(path: str | Path) -> nib.Nifti1Image:
    """A NIfTI image; the checksum of a compressed one is compared.

    Args:
        path: a file ``.nii`` or ``.nii.gz``.

    Returns:
        The image. The voxels of a compressed one are in memory, those of another one are read when they are needed.

    Raises:
        ValueError: if it is not a NIfTI file, has fewer voxels than its header says, or voxels that are not real
            numbers.
        OSError, EOFError, zlib.error: if it is missing, cut off or otherwise damaged.
    """
    path = Path(path)
    size, raw = path.stat().st_size, None
    if path.suffix.lower() == ".gz":
        raw = gzip.decompress(path.read_bytes())
        size = len(raw)
    image = _parsed(path, raw)
    stored = image.dataobj
    if stored.dtype.kind not in "biuf":
        raise ValueError(f"its voxels are of type {stored.dtype}, but each must be one real number")
    if isinstance(image, nib.Nifti1Image) and stored.offset < image.header.single_vox_offset:
        raise ValueError(f"its header says that the voxels begin at byte {stored.offset}, inside the header: repair it")
    needed = stored.offset + math.prod(map(int, stored.shape)) * stored.dtype.itemsize
    if min(stored.shape, default=0) < 0 or needed > size:
        raise ValueError(f"its header says {needed} bytes, but there are {size}: it is cut off or damaged")
    return image


def _parsed(path: Path, raw: bytes | None) -> nib.Nifti1Image:
    try:
        if raw is None:
            return nib.load(path)
        kinds = (kind for kind in (nib.Nifti1Image, nib.Nifti2Image) if kind.header_class.may_contain_header(raw))
        if (kind := next(kinds, None)) is None:
            raise ValueError("it does not begin with a header")
        return kind.from_bytes(raw)
    except Exception as error:  # a damaged header makes nibabel fail in many ways
        told = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"it is not a NIfTI image, or its header is damaged: {told}") from error


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
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
