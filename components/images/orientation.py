"""Where the axes of a volume point to, and turning them."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt2axcodes, ornt_transform

DISPLAY = "PLS"
"""Where the axes of a radiological display point to: rows to posterior, columns to the patient's left, slices to
superior."""
STORED = "stored"
"""Instead of letters: the axes as they are in the file."""
NUDGE = np.eye(3) + np.cross((1e-4, 2e-4, 3e-4), np.eye(3)).T
"""A turn by 0.02°, to first order, about an axis that is none of the world's."""


def orientation(affine: np.ndarray) -> np.ndarray:
    """The world axis that each axis of an array is nearest to, as nibabel's ``io_orientation`` gives it.

    An axis at 45° is as near to one world axis as to another, and rounding would decide. Here such ties always fall to
    the same side, so that an image and its label map are turned alike.

    Args:
        affine: 4 × 4, from voxel numbers to world positions.

    Returns:
        For each axis of the array the number of the world axis, and 1 or -1 for its direction; 3 × 2.

    Example:
        >>> orientation(np.diag([-2.0, 3.0, 1.0, 1.0])).tolist()
        [[0.0, -1.0], [1.0, 1.0], [2.0, 1.0]]
    """
    affine = np.array(affine, dtype=np.float64)
    size = len(affine) - 1
    affine[:size, :size] = NUDGE[:size, :size] @ affine[:size, :size]
    return io_orientation(affine)


def turn(affine: np.ndarray, axcodes: str | None) -> np.ndarray:
    """How the axes of an array are reordered and flipped to point where they are wanted.

    Args:
        affine: 4 × 4, from voxel numbers to world positions.
        axcodes: where the axes are to point to, for example "PLS"; None or "stored" leaves them.

    Returns:
        For each axis of the array its new place, and -1 where it is flipped; nibabel's form, 3 × 2.

    Raises:
        ValueError: if ``axcodes`` are no three directions of the body.
    """
    now, letters = orientation(affine), checked_axcodes(axcodes)
    return ornt_transform(now, now if letters is None else axcodes2ornt(tuple(letters)[: len(now)]))


def checked_axcodes(axcodes: str | None) -> str | None:
    """The letters themselves, or None if the axes stay as they are stored.

    Raises:
        ValueError: if they are no three directions of the body, each axis once, in either direction.

    Example:
        >>> checked_axcodes("PLS"), checked_axcodes("stored")
        ('PLS', None)
    """
    if axcodes in (None, STORED):
        return None
    letters = axcodes if isinstance(axcodes, str) else ""
    if len(letters) != 3 or any(sum(letter in pair for letter in letters) != 1 for pair in ("RL", "AP", "SI")):
        raise ValueError(
            f"axcodes {axcodes!r}: give one of R and L, one of A and P and one of S and I in the order of the axes, "
            f"such as PLS, or {STORED!r} to leave the axes as the file has them"
        )
    return letters


def axcodes_of(affine: np.ndarray) -> str:
    """Where the axes of an array point to, for example "PLS"."""
    return "".join(ornt2axcodes(orientation(affine)))


def reoriented(image: nib.Nifti1Image, axcodes: str | None) -> nib.Nifti1Image:
    """A volume with its axes turned and flipped; every voxel keeps its place in the world.

    Args:
        image: the volume.
        axcodes: where the axes are to point to, for example "PLS"; None or "stored" leaves them.

    Raises:
        ValueError: if ``axcodes`` are no three directions of the body.
    """
    return image.as_reoriented(turn(image.affine, axcodes))


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
