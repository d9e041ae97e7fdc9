"""Files of any supported format as arrays, with their place in the world, and the orientation of volumes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
from PIL import Image

from components.images.orientation import reoriented

from ..data.faults import NIFTI, Content, read
from ..data.reading import naming, read_picture
from ..errors import UserError

ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
VOLUMES = (*NIFTI, *ITK)
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def suffix_of(path: Path) -> str | None:
    """Extension of an image in lower case, None where it is no supported one.

    Example:
        >>> suffix_of(Path("a.b.NII.gz")), suffix_of(Path("a.txt"))
        ('.nii.gz', None)
    """
    name = path.name.lower()
    return next((suffix for suffix in (*VOLUMES, *PICTURES) if name.endswith(suffix)), None)


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI by its name, written as the bundles expect it."""
    return path.name.endswith(NIFTI)


def read_file(path: Path, label: bool = False) -> Content:
    """Read an image or a label map to its end.

    Args:
        path: the file.
        label: whether it holds numbers of classes: a picture with a palette then gives its numbers, not its colours.

    Returns:
        A volume as stored with its affine; a picture H × W, or H × W × 3 for colours.

    Raises:
        UserError: if it is missing, damaged, or of a kind that needs a package that is not there.
    """
    suffix = suffix_of(path)
    if suffix in ITK:
        return _read_itk(path)
    if suffix in NIFTI:
        return read(path)
    with naming(path):
        with Image.open(path) as image:
            if (pages := getattr(image, "n_frames", 1)) > 1:
                raise ValueError(f"it has {pages} pages, but a picture of one is needed")
            if label and image.mode == "P":
                return Content(np.array(image))
        return Content(read_picture(path))


def oriented(content: Content, axes: str) -> nib.Nifti1Image:
    """A volume with its axes turned and flipped.

    Args:
        content: the volume.
        axes: where the axes are to point to, for example "SPL".
    """
    return reoriented(nib.Nifti1Image(content.array, content.affine), axes)


def _read_itk(path: Path) -> Content:
    sitk = _simple_itk(path)
    with naming(path):
        if not path.is_file():
            raise FileNotFoundError(2, "no such file", str(path))
        try:
            image = sitk.ReadImage(str(path))
        except RuntimeError as error:
            raise ValueError(str(error).strip().splitlines()[-1]) from error
        array = np.ascontiguousarray(sitk.GetArrayFromImage(image).T)
        affine = np.eye(4)
        size = image.GetDimension()
        affine[:size, :size] = np.reshape(image.GetDirection(), (size, size)) * np.asarray(image.GetSpacing())
        affine[:size, 3] = image.GetOrigin()
        return Content(array, LPS_TO_RAS @ affine, tuple(image.GetSpacing()))


def _simple_itk(path: Path) -> ModuleType:
    try:
        import SimpleITK
    except ImportError as error:
        raise UserError(f"{path} needs SimpleITK to be read: pip install SimpleITK") from error
    return SimpleITK
