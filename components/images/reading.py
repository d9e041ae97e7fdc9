"""Any image file as an array with its place in the world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .endings import VOLUMES, ending_of
from .pictures import Picture, read_picture
from .stacks import is_stack
from .volumes import read_volume


@dataclass(frozen=True)
class Content:
    """Content of an image file.

    Args:
        array: the voxels, X × Y × Z, or the pixels, H × W or H × W × 3, in the type of the file.
        affine: 4 × 4 matrix from voxel numbers to mm (RAS), None for pictures.
        picture: how a picture lies in its file, None for volumes.
    """

    array: np.ndarray
    affine: np.ndarray | None = None
    picture: Picture | None = None


def read(path: str | Path, numbers: bool = False) -> Content:
    """Read an image or a label map to its very end, so that a damaged checksum is noticed.

    Args:
        path: the file; :mod:`components.images.endings` lists what can be read.
        numbers: whether it is a label map, see :func:`components.images.pictures.read_picture`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError, OSError, ImportError and others: see :func:`~components.images.volumes.read_volume` and
            :func:`~components.images.pictures.read_picture`.
    """
    path = Path(path)
    if ending_of(path) in VOLUMES or is_stack(path):
        image = read_volume(path)
        return Content(np.asanyarray(image.dataobj), image.affine)
    picture = read_picture(path, numbers)
    return Content(picture.array, picture=picture)
