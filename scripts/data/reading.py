"""Files of the data sets as published: arrays, with errors that name the file."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
from PIL import Image

from components.images.pictures import check_picture

from ..errors import UserError
from .nifti import load

DAMAGE = (
    OSError, EOFError, ValueError, TypeError, KeyError, SyntaxError, OverflowError, MemoryError, RuntimeError,
    struct.error, tokenize.TokenError, zlib.error, zipfile.BadZipFile, Image.DecompressionBombError,
    nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError,
)  # fmt: skip
"""What the readers raise on a damaged file."""


@contextmanager
def naming(*paths: Path) -> Iterator[None]:
    """Tell any fault that is found inside as a fault of these files.

    Raises:
        UserError: that names the files, for every error of reading and every ValueError.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or paths[0]} is missing") from error
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        names = " and ".join(map(str, paths))
        raise UserError(reason if str(paths[0]) in reason else f"{names}: {reason}") from error


def read_nifti(path: Path) -> tuple[np.ndarray, nib.Nifti1Image]:
    """Voxels of an image with 3 axes, rows to posterior, columns to the patient's left, and the image itself.

    Raises:
        UserError: if it is damaged.
    """
    with naming(path):
        image = load(path)
        return np.asanyarray(image.dataobj), image


def read_arrays(path: Path, *names: Sequence[str]) -> list[np.ndarray]:
    """Arrays of an ``.npz`` or HDF5 file.

    Args:
        path: the file.
        names: for each array the names under which it may be stored.

    Raises:
        UserError: if the file is damaged or an array is not there, or h5py is needed and missing.
    """
    with naming(path):
        if path.suffix != ".npz":
            with _h5py(path).File(path, "r") as file:
                return [file[_which(path, file, wanted)][()] for wanted in names]
        with np.load(path, allow_pickle=False) as file:
            return [file[_which(path, file, wanted)] for wanted in names]


def read_picture(path: Path) -> np.ndarray:
    """A picture of two axes as stored: H × W, or H × W × 3 for colours, in its own type; transparency is dropped.

    Raises:
        UserError: if it is damaged, or of a kind that needs tifffile and this is missing.
    """
    with naming(path):
        check_picture(path)
        with Image.open(path) as image:
            deep_colour = image.mode in ("RGB", "RGBA") and _bits(image) > 8
            if not deep_colour and image.mode in ("L", "I", "F", "I;16", "I;16B", "I;16L", "RGB"):
                return np.array(image)
            if not deep_colour:
                return np.array(image.convert("L" if image.mode in ("1", "LA") else "RGB"))
        if path.suffix.lower() not in (".tif", ".tiff"):
            raise ValueError("colours of more than 8 bits can only be read from TIFF: convert the file")
        return _flat(_tifffile(path).imread(path))


def is_rgb_png(path: Path) -> bool:
    """Whether a picture is stored as it has to be in a data set already: PNG, three colours of 8 bits."""
    with naming(path), Image.open(path) as image:
        image.load()
        return image.format == "PNG" and image.mode == "RGB" and _bits(image) == 8


def same_shape(image: np.ndarray, label: np.ndarray, axes: int | None = None) -> None:
    """Raise ValueError unless image and label have the same extent (in the first ``axes`` axes)."""
    if image.shape[:axes] != label.shape[:axes]:
        raise ValueError(f"the image has shape {image.shape}, but its label {label.shape}: they must be on one grid")


def stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Slices H × W, or one volume D × H × W, as H × W × D.

    Raises:
        ValueError: if they are not of one shape.
    """
    if len(arrays) == 1 and arrays[0].ndim == 3:
        return np.moveaxis(arrays[0], 0, -1)
    if any(array.ndim != 2 or array.shape != arrays[0].shape for array in arrays):
        raise ValueError(f"slices of the shapes {sorted({array.shape for array in arrays})} are not one volume")
    return np.stack(arrays, axis=-1)


def _bits(image: Image.Image) -> int:
    stored = " ".join(str(entry) for entry in image.tile)
    if ";16" in stored:
        return 16
    bits = getattr(image, "tag_v2", {}).get(258, 8)
    return max(bits) if isinstance(bits, tuple) else int(bits)


def _flat(array: np.ndarray) -> np.ndarray:
    array = np.squeeze(array)
    if array.ndim == 3 and array.shape[0] in (3, 4) and array.shape[2] not in (3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ValueError(f"it has shape {array.shape}, but a picture of one or three colours is needed")
    return array if array.ndim == 2 else array[..., :3]


def _which(path: Path, stored: Sequence[str], wanted: Sequence[str]) -> str:
    for name in wanted:
        if name in stored:
            return name
    raise UserError(f"{path} holds {', '.join(map(str, stored)) or 'nothing'}, but {' or '.join(wanted)} is needed")


def _h5py(path: Path) -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"{path} is an HDF5 file, which needs h5py: pip install h5py") from error
    return h5py


def _tifffile(path: Path) -> ModuleType:
    try:
        import tifffile
    except ImportError as error:
        raise UserError(f"{path} is a TIFF of deep colours, which needs tifffile: pip install tifffile") from error
    return tifffile
