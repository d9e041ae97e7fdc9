"""TIFF stacks: volumes whose spacing is in a JSON file beside them, as nnU-Net has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np

from ..files import replacing, write_text
from .tiff import quiet, tifffile_library

ENDINGS = (".tif", ".tiff")
CHANNEL = re.compile(r"_\d{4}$")
"""End of the name of a file that is a channel of a case: the JSON file is called like the case."""


def spacing_file(path: Path) -> Path | None:
    """The JSON file with the spacing of a TIFF, CASE.json for CASE.tif and CASE_0000.tif, or None.

    A JSON file without "spacing", such as the annotations of a picture, does not make a volume of it.
    """
    if path.suffix.lower() not in ENDINGS:
        return None
    names = dict.fromkeys((path.stem, CHANNEL.sub("", path.stem)))
    return next((found for name in names if _has_spacing(found := path.with_name(f"{name}.json"))), None)


def _has_spacing(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # not JSON, or not text
        return False
    return isinstance(content, dict) and "spacing" in content


def is_stack(path: Path) -> bool:
    """Whether a TIFF is a volume: its spacing lies beside it."""
    return spacing_file(path) is not None


def write_stack(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write a map on the grid of a stack, with its spacing in a JSON file beside it.

    Args:
        path: the TIFF; its name ends with ``.tif``.
        array: columns × rows × slices.
        affine: that of the stack in mm, of :func:`read_stack`.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    write_text(path.with_suffix(".json"), json.dumps({"spacing": [round(float(mm), 6) for mm in spacing]}) + "\n")
    with replacing(path) as partial:
        tifffile_library().imwrite(partial, np.ascontiguousarray(array.T), compression="zlib")


def read_stack(path: Path) -> nib.Nifti1Image:
    """A stack as a volume.

    Args:
        path: the TIFF, slices × rows × columns; the list "spacing" of its JSON file has the mm along the same axes.

    Returns:
        The image, columns × rows × slices: columns go to the left of the patient, rows to the back and slices upwards,
        as in files without any orientation.

    Raises:
        ValueError: if the TIFF does not have three axes, or there is no JSON file with three positive numbers.
        ImportError: if tifffile or a library for its compression is missing.
    """
    beside = spacing_file(path)
    if beside is None:
        raise ValueError('it has no JSON file with its spacing: put CASE.json with {"spacing": [z, y, x]} beside it')
    try:
        spacing = np.asarray(json.loads(beside.read_text(encoding="utf-8"))["spacing"], dtype=float)
    except (ValueError, TypeError) as error:
        raise ValueError(f'{beside} has a "spacing" that is not a list of three numbers') from error
    if spacing.shape != (3,) or not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise ValueError(f"{beside} has the spacing {spacing.tolist()}, but three positive numbers are needed")
    with quiet():
        array = tifffile_library().imread(path)
    if array.ndim != 3:
        raise ValueError(f"it has {array.ndim} axes ({' × '.join(map(str, array.shape))}), but a stack of 3 is needed")
    if array.dtype in (np.int64, np.uint64):
        array = array.astype(np.float64)
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    image = nib.Nifti1Image(np.ascontiguousarray(array.T), affine)
    image.header.set_xyzt_units("mm")
    return image
