"""The orientation of a picture, as EXIF and TIFF number it."""

from __future__ import annotations

import numpy as np

ORIENTATION = 274
"""Tag of the orientation in EXIF and in TIFF."""


def displayed(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate a picture to its displayed orientation.

    Args:
        stored: as it lies in the file, H × W or H × W × channels.
        orientation: 1 to 8; any other number counts as 1, as in all viewers.

    Example:
        >>> displayed(np.array([[1, 2, 3], [4, 5, 6]]), 6).tolist()  # a quarter turn clockwise
        [[4, 1], [5, 2], [6, 3]]
    """
    if orientation in (5, 6, 7, 8):
        stored = stored.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    return np.ascontiguousarray(stored)


def stored(displayed: np.ndarray, orientation: int) -> np.ndarray:
    """The reverse of :func:`displayed`: a map of a picture on the grid of its file."""
    if orientation in (2, 3, 6, 7):
        displayed = displayed[:, ::-1]
    if orientation in (3, 4, 7, 8):
        displayed = displayed[::-1]
    if orientation in (5, 6, 7, 8):
        displayed = displayed.swapaxes(0, 1)
    return np.ascontiguousarray(displayed)
