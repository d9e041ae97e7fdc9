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

from components.images import pictures
from components.images.checks import TOLERANCE_MM
from components.images.grid import corners_apart
from components.images.orientation import DISPLAY, axcodes_of, reoriented
from components.images.reading import Content, read
from components.images.volumes import read_volume

from ..errors import UserError
from .layouts import RawCase

DAMAGE = (
    OSError, EOFError, ValueError, TypeError, KeyError, SyntaxError, OverflowError, MemoryError, RuntimeError,
    ImportError, struct.error, tokenize.TokenError, zlib.error, zipfile.BadZipFile, Image.DecompressionBombError,
    nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError,
)  # fmt: skip
"""What the readers raise on a damaged file, or where a library is missing for it."""


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


def read_content(path: Path, numbers: bool = False) -> Content:
    """A volume or a picture, see :func:`components.images.reading.read`.

    Raises:
        UserError: if it is damaged, or cannot be used.
    """
    with naming(path):
        return read(path, numbers)


def read_nifti(path: Path, axcodes: str = DISPLAY) -> tuple[np.ndarray, nib.Nifti1Image]:
    """Voxels of an image with 3 axes, and the image itself.

    Args:
        path: the file.
        axcodes: where the axes are to point to, by default rows to posterior and columns to the patient's left;
            "stored" leaves them as they are in the file.

    Raises:
        UserError: if it is damaged, or has other axes.
    """
    with naming(path):
        image = read_volume(path)
        if image.ndim != 3:
            raise ValueError(f"it has shape {image.shape}, but an image with 3 axes is needed")
        image = reoriented(image, axcodes)
        return np.asanyarray(image.dataobj), image


def read_pair(case: RawCase) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels of the image and the label map of a case, turned alike, and their affine.

    Raises:
        UserError: if a file is damaged, or the two are not on one grid.
    """
    voxels, image = read_nifti(case.files["image"], case.axcodes)
    return voxels, read_labels_of(case, image), image.affine


def read_labels_of(case: RawCase, image: nib.Nifti1Image) -> np.ndarray:
    """Voxels of the label map of a case, turned as its image.

    Args:
        case: the case.
        image: its image as it was read and turned.

    Raises:
        UserError: if the file is damaged, or the two are not on one grid.
    """
    labels, stored = read_nifti(case.files["label"], axcodes_of(image.affine))
    with naming(case.files["label"], case.files["image"]):
        same_shape(image, labels)
        if not (distance := corners_apart(labels.shape, stored.affine, image.affine)) <= TOLERANCE_MM:
            raise ValueError(
                f"by their affines the label lies up to {distance:.4g} mm away from its image: they must be on one "
                "grid, correct the header that is wrong"
            )
    return labels


def read_nifti_channels(path: Path, axcodes: str = DISPLAY) -> tuple[list[np.ndarray], nib.Nifti1Image]:
    """As :func:`read_nifti`, of an image whose fourth axis, where it has one, counts channels.

    Raises:
        UserError: if it is damaged, or has other axes.
    """
    with naming(path):
        image = read_volume(path)
        if image.ndim not in (3, 4):
            raise ValueError(f"it has shape {image.shape}, but an image with 3 axes, or 4 with channels, is needed")
        volumes = [image] if image.ndim == 3 else [image.slicer[..., number] for number in range(image.shape[3])]
        volumes = [reoriented(volume, axcodes) for volume in volumes]
        return [np.asanyarray(volume.dataobj) for volume in volumes], volumes[0]


def read_picture(path: Path, numbers: bool = False) -> np.ndarray:
    """The array of :func:`components.images.pictures.read_picture`.

    Raises:
        UserError: if it is damaged, or no picture that can be used.
    """
    with naming(path):
        return pictures.read_picture(path, numbers).array


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


def same_shape(image: np.ndarray | nib.Nifti1Image, label: np.ndarray, axes: int | None = None) -> None:
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
