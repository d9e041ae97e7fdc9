"""Reading a case, with a reason wherever it cannot be segmented."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import ImageReader, NibabelReader, PILReader
from PIL import Image

from components.transforms.whole import WholeNibabelReader

from ..data.reading import naming, read_picture
from ..data.sources.cells import stretched_rgb
from ..errors import UserError
from . import dicom
from .bundle import Bundle
from .cases import Case

ITK_TO_NIFTI = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK counts to the left and to posterior (LPS), NIfTI to the right and to anterior (RAS)."""


@dataclass(frozen=True)
class Loaded:
    """An image in memory.

    Args:
        shape: extent of a label map: that of the volume, or height and width of the picture.
        reader: gives the image to MONAI's ``LoadImaged``; None where that one reads the file itself.
        image: the volume with its affine and header; None for pictures.
        dicom: the series, for DICOM only.
    """

    shape: tuple[int, ...]
    reader: ImageReader | None
    image: nib.Nifti1Image | None = None
    dicom: dicom.Volume | None = None


class Given(NibabelReader):
    """A reader of MONAI that gives a volume which is in memory already.

    Args:
        image: the volume.
    """

    def __init__(self, image: nib.Nifti1Image) -> None:
        super().__init__()
        self.image = image

    def read(self, data: Sequence[str] | str, **kwargs: Any) -> nib.Nifti1Image:
        """The volume, whatever the file is called."""
        self.filenames = data
        return self.image


class GivenPicture(PILReader):
    """A reader of MONAI that gives a picture which is in memory already.

    Args:
        picture: the picture.
    """

    def __init__(self, picture: Image.Image) -> None:
        super().__init__()
        self.picture = picture

    def read(self, data: Sequence[str] | str, **kwargs: Any) -> Image.Image:
        """The picture, whatever the file is called."""
        return self.picture


def load_case(case: Case, bundle: Bundle) -> Loaded:
    """Read an image that a bundle can segment.

    Args:
        case: what to read.
        bundle: says what it takes.

    Raises:
        UserError: if the image is missing, damaged, or not what the bundle takes.
    """
    if case.fault:
        raise UserError(case.fault)
    if (case.kind == "picture") != bundle.takes_pictures:
        kind = "a picture" if case.kind == "picture" else "a volume"
        raise UserError(f"{case.source} is {kind}, but {bundle.wanted}")
    with naming(Path(case.source)):
        try:
            return _load_picture(case.files[0]) if bundle.takes_pictures else _load_volume(case, bundle)
        except RuntimeError as error:  # of SimpleITK
            raise ValueError(_itk_reason(error)) from error


def _load_picture(path: Path) -> Loaded:
    with Image.open(path) as image:
        if (pages := getattr(image, "n_frames", 1)) > 1:
            raise ValueError(f"it has {pages} pages, but one picture is needed: split it")
    array = read_picture(path)
    if not array.size:
        raise ValueError(f"it has shape {array.shape} and no pixel")
    if array.dtype == np.uint8:
        return Loaded(array.shape[:2], reader=None)
    # More than 8 bits: stretched as the data sets of the training are.
    return Loaded(array.shape[:2], GivenPicture(Image.fromarray(stretched_rgb(array))))


def _load_volume(case: Case, bundle: Bundle) -> Loaded:
    series = dicom.read_series(case.files, bundle.takes["modality"]) if case.kind == "dicom" else None
    if case.kind == "nifti":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the spacing in the header is corrected
            seen = WholeNibabelReader().read(case.files[0])
        image = nib.load(case.files[0])
    else:
        image = seen = series.image if series else _read_itk(case.files[0])
    if image.ndim != 3 and image.shape[3:] != (bundle.channels,):
        what = f": {image.shape[3]} channels or time points" if image.ndim == 4 else ""
        raise ValueError(f"it has shape {image.shape}{what}, but {bundle.wanted}")
    array = np.asanyarray(seen.dataobj)
    _check_voxels(array)
    _check_affine(image.affine)
    held = type(seen)(array, seen.affine, seen.header)
    return Loaded(array.shape[:3], Given(held), image, series)


def _read_itk(path: Path) -> nib.Nifti1Image:
    sitk = simple_itk(path)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    volume = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(volume)
    vector = volume.GetNumberOfComponentsPerPixel() > 1
    if volume.GetDimension() != 3:
        raise ValueError(f"it has {volume.GetDimension()} axes, but a volume with 3 is needed")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(volume.GetDirection(), (3, 3)) * volume.GetSpacing()
    affine[:3, 3] = volume.GetOrigin()
    axes = (2, 1, 0, 3) if vector else (2, 1, 0)
    array = array.transpose(axes)
    array = array.astype(np.float64) if array.dtype in (np.int64, np.uint64) else array
    return nib.Nifti1Image(array, ITK_TO_NIFTI @ affine)


def simple_itk(path: Path) -> ModuleType:
    """Import SimpleITK for a file.

    Raises:
        UserError: that names the extra to install.
    """
    try:
        import SimpleITK as sitk
    except ImportError as error:
        raise UserError(f"{path.name} needs SimpleITK: pip install 'scanseg[formats]'") from error
    return sitk


def _check_voxels(array: np.ndarray) -> None:
    if not array.size:
        raise ValueError(f"it has shape {array.shape} and no voxel")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"its voxels are of type {array.dtype}, but one real number each is needed")
    if array.dtype.kind == "f" and (bad := int(np.size(array) - np.isfinite(array).sum())):
        raise ValueError(f"it has {bad} voxels that are NaN or infinite")
    if array.min() == array.max():
        raise ValueError(f"all its voxels are {array.flat[0]:g}: there is nothing to segment")


def _check_affine(affine: np.ndarray) -> None:
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise ValueError("its affine does not give every voxel a place of its own: repair the header")


def _itk_reason(error: RuntimeError) -> str:
    """The last part of what ITK tells, without the places in its sources."""
    told = " ".join(str(error).split())
    for mark in ("ITK ERROR: ", "sitk::ERROR: "):
        told = told.rpartition(mark)[2]
    return told or type(error).__name__
