"""The place of voxels in the world: units, forms and spacings of headers, and maps on the grid of their image."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np

SMALLEST_MM, LARGEST_MM = 0.01, 50.0
"""Sizes of voxels that scanners make; others come of a wrong unit."""
MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres in the units of NIfTI's ``xyzt_units``: metre, millimetre, micrometre; all other codes count as mm."""
TOLERANCE = 1e-3
"""Part of a voxel's size by which two statements of it may differ, by rounding."""
STORED = "stored"
"""Where ``extra`` of an image keeps the image as it is in the file."""
CORNER_MM = 1e-4
"""So far may a corner of a label map lie from that of its image."""


def placed(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """An image whose header and affine are in mm, and which has a place in the world.

    NIfTI holds two affines. The sform is taken where there is one, as nibabel does; but where its voxels have other
    sizes than the header's pixdim has, as after an alignment to a template, it is the qform.

    Args:
        image: as nibabel loads it.

    Returns:
        The same image, or one with the same voxels and a changed header, which has the image of the file in ``extra``.

    Raises:
        ValueError: if the affine or a spacing of it cannot be that of a scan.
    """
    image = _one_form(_in_mm(image))
    check_place(image.affine)
    return image


def label_image(array: np.ndarray, image: nib.Nifti1Image) -> nib.Nifti1Image:
    """A map on the grid of an image, as NIfTI: with the affines, their codes and the unit in the file of the image.

    So every software lays the map on the image, whichever affine it takes.

    Args:
        array: the map, of the type to be stored.
        image: as :func:`placed` gives it, or as nibabel loads it.
    """
    stored = image.extra.get(STORED, image)
    kind = nib.Nifti2Image if isinstance(stored.header, nib.Nifti2Header) else nib.Nifti1Image
    header = kind.header_class.from_header(stored.header)  # its scale has to be unset before the image is made of it
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(1, 0)
    header.set_intent("none")
    header["cal_min"] = header["cal_max"] = 0
    header["descrip"] = b"scanseg"
    header.extensions.clear()
    return kind(array, stored.affine, header)


def check_place(affine: np.ndarray) -> None:
    """Raise ValueError unless an affine in mm gives every voxel a place of its own, with a spacing that scans have."""
    axes = affine[:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    if not np.isfinite(affine).all() or not spacing.all() or abs(np.linalg.det(axes / spacing)) < 1e-6:
        raise ValueError("its affine maps several voxels to one position: repair the header")
    if spacing.min() < SMALLEST_MM or spacing.max() > LARGEST_MM:
        raise ValueError(
            f"its voxels are {shown(spacing)} mm, but scans have {SMALLEST_MM:g} to {LARGEST_MM:g} mm: correct the "
            "spacing in the header, or its unit"
        )


def check_same_grid(shape: Sequence[int], affine: np.ndarray, image_shape: Sequence[int], image: np.ndarray) -> None:
    """Check that a label map lies on its image, before it is written.

    Args:
        shape: of the map.
        affine: of the map, in mm.
        image_shape: of the image as it was read.
        image: affine of the image as it was read, in mm.

    Raises:
        ValueError: if the shapes differ, or a corner lies more than 0.0001 mm away.
    """
    shape, image_shape = tuple(map(int, shape)), tuple(map(int, image_shape[:3]))
    if shape != image_shape:
        raise ValueError(f"the prediction has shape {shape}, but the image {image_shape}: nothing was written")
    if not (distance := corners_apart(shape, affine, image)) <= CORNER_MM:
        raise ValueError(
            f"the prediction lies up to {distance:g} mm away from the image, so nothing was written: the "
            "preprocessing of the bundle has a step that its postprocessing does not undo"
        )


def corners_apart(shape: Sequence[int], affine: np.ndarray, other: np.ndarray) -> float:
    """The largest distance in mm that a corner of a grid moves from one affine to another.

    Args:
        shape: number of voxels along the three axes.
        affine: 4 × 4, from voxel numbers to mm.
        other: another one.

    Example:
        >>> corners_apart((2, 2, 2), np.eye(4), np.diag([1, 1, 2, 1]))
        1.5
    """
    corners = np.array(np.meshgrid(*([-0.5, size - 0.5] for size in shape))).reshape(3, -1)
    apart = (np.asarray(affine) - np.asarray(other))[:3] @ np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(apart, axis=0).max())


def shown(sizes: Sequence[float] | np.ndarray) -> str:
    """Sizes for a message.

    Example:
        >>> shown([1.5, 2])
        '1.5 × 2'
    """
    return " × ".join(f"{size:g}" for size in sizes)


def _in_mm(image: nib.Nifti1Image) -> nib.Nifti1Image:
    factor = MM_PER_UNIT.get(int(image.header["xyzt_units"]) & 7, 1.0)
    if factor == 1:
        return image
    header = image.header.copy()
    for name in ("srow_x", "srow_y", "srow_z", "qoffset_x", "qoffset_y", "qoffset_z"):
        header[name] = header[name] * factor
    header["pixdim"][1:4] *= factor
    header["xyzt_units"] = (int(header["xyzt_units"]) & ~7) | 2
    affine = np.array(image.affine)
    affine[:3] *= factor
    return type(image)(image.dataobj, affine, header, extra={STORED: image.extra.get(STORED, image)})


def _one_form(image: nib.Nifti1Image) -> nib.Nifti1Image:
    header = image.header
    sizes, stated = np.linalg.norm(image.affine[:3, :3], axis=0), header["pixdim"][1:4].astype(np.float64)
    if not header["sform_code"] or np.allclose(sizes, stated, rtol=TOLERANCE, atol=TOLERANCE):
        return image
    if header["qform_code"]:
        changed = header.copy()
        changed["sform_code"] = 0
        stored = image.extra.get(STORED, image)
        return type(image)(image.dataobj, header.get_qform(), changed, extra={STORED: stored})
    check_place(image.affine)
    raise ValueError(
        f"its voxels are {shown(stated)} mm by the spacing in its header (pixdim), but {shown(sizes)} mm by its affine "
        "(sform): correct the header"
    )
