"""Overlap and surface distances of two binary masks, in two or three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics.utils import get_mask_edges
from scipy import ndimage


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice overlap 2 |P ∩ T| / (|P| + |T|) of two masks.

    Args:
        prediction: predicted mask of any shape, boolean or with non-zero foreground.
        truth: reference mask of the same shape.

    Returns:
        A number in [0, 1]; NaN if both masks are empty (see :class:`components.metrics.Convention`).

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> dice(np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1]))
        0.5
    """
    prediction, truth = _masks(prediction, truth)
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    return float(2 * np.count_nonzero(prediction & truth) / total) if total else float("nan")


def jaccard(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Jaccard overlap |P ∩ T| / |P ∪ T| of two masks, also called intersection over union.

    Args:
        prediction: predicted mask of any shape, boolean or with non-zero foreground.
        truth: reference mask of the same shape.

    Returns:
        A number in [0, 1]; NaN if both masks are empty (see :class:`components.metrics.Convention`).

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> jaccard(np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1]))
        0.3333333333333333
    """
    prediction, truth = _masks(prediction, truth)
    union = np.count_nonzero(prediction | truth)
    return float(np.count_nonzero(prediction & truth) / union) if union else float("nan")


def surface_distances(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distances from each surface voxel of one mask to the nearest of the other.

    The surface of a mask is its voxels with a face neighbour outside the mask or outside the image, as in MedPy. An
    axis of length one is a border on both sides, so all of a single slice would be surface: squeeze it first.

    Args:
        prediction: predicted mask with 1 to 3 axes, boolean or with non-zero foreground.
        truth: reference mask of the same shape.
        spacing: voxel size along each axis, usually in mm; None measures in voxels.

    Returns:
        Distances of the prediction's surface from the reference's, and the other way round, in the unit of ``spacing``;
        both without a value where a mask is empty.

    Raises:
        ValueError: if the shapes differ, or ``spacing`` does not have one number for each axis.
    """
    prediction, truth = _masks(prediction, truth)
    spacing = _spacing(spacing, truth.ndim)
    if not prediction.any() or not truth.any():
        return np.empty(0), np.empty(0)
    box = ndimage.find_objects((prediction | truth).astype(np.uint8))[0]
    surface_p, surface_t = _surface(prediction[box]), _surface(truth[box])
    return (
        ndimage.distance_transform_edt(~surface_t, sampling=spacing)[surface_p],
        ndimage.distance_transform_edt(~surface_p, sampling=spacing)[surface_t],
    )


def hd95(prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float] | None = None) -> float:
    """95th percentile of the surface distances of two masks, pooled over both directions.

    The distances of both directions are put together before the percentile is taken, as MedPy's ``hd95`` does; MONAI's
    ``HausdorffDistanceMetric`` takes the larger of two percentiles instead.

    Arguments and errors are those of :func:`surface_distances`.

    Returns:
        The distance in the unit of ``spacing``; NaN if a mask is empty (see :class:`components.metrics.Convention`).
    """
    return hausdorff_and_average(prediction, truth, spacing)[0]


def asd(prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float] | None = None) -> float:
    """Average distance of the prediction's surface from the reference's, as MedPy's ``asd``: one direction only.

    Arguments and errors are those of :func:`surface_distances`.

    Returns:
        The distance in the unit of ``spacing``; NaN if a mask is empty.
    """
    return hausdorff_and_average(prediction, truth, spacing)[1]


def hausdorff_and_average(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float] | None = None
) -> tuple[float, float]:
    """:func:`hd95` and :func:`asd` of the same masks, for which the distances are measured once."""
    forth, back = surface_distances(prediction, truth, spacing)
    if not forth.size:
        return float("nan"), float("nan")
    return float(np.percentile(np.concatenate([forth, back]), 95)), float(forth.mean())


def nsd(prediction: np.ndarray, truth: np.ndarray, tolerance: float, spacing: Sequence[float] | None = None) -> float:
    """Normalised surface distance: the part of both surfaces that lies within a tolerance of the other one.

    The surface runs between the voxels and its elements count by their area, as in Nikolov et al. (2018, arXiv
    1809.04430). A mask that touches the border of the image has a surface there.

    Args:
        prediction: predicted mask with 2 or 3 axes, boolean or with non-zero foreground.
        truth: reference mask of the same shape.
        tolerance: distance that counts as none, in the unit of ``spacing``.
        spacing: voxel size along each axis, usually in mm; None measures in voxels.

    Returns:
        A number in [0, 1], 0 where one mask is empty; NaN if both are.

    Raises:
        ValueError: if the shapes differ, or ``spacing`` does not have one number for each axis.
    """
    prediction, truth = _masks(prediction, truth)
    spacing = _spacing(spacing, truth.ndim)
    if not prediction.any() and not truth.any():
        return float("nan")
    if not prediction.any() or not truth.any():
        return 0.0
    found = get_mask_edges(torch.from_numpy(prediction), torch.from_numpy(truth), spacing=spacing)
    surface_p, surface_t, area_p, area_t = (part.numpy() for part in found)
    # MONAI's compute_surface_dice gives the same, but asks a tree for every distance, which takes ten times as long.
    near_p = ndimage.distance_transform_edt(~surface_t, sampling=spacing)[surface_p] <= tolerance
    near_t = ndimage.distance_transform_edt(~surface_p, sampling=spacing)[surface_t] <= tolerance
    area_p, area_t = area_p[surface_p].astype(np.float64), area_t[surface_t].astype(np.float64)
    return float((area_p[near_p].sum() + area_t[near_t].sum()) / (area_p.sum() + area_t.sum()))


def image_diagonal(shape: Sequence[int], spacing: Sequence[float] | None = None) -> float:
    """Length of the diagonal of an image, which no distance inside it exceeds.

    Args:
        shape: number of voxels along each axis.
        spacing: voxel size along each axis, usually in mm; None measures in voxels.

    Example:
        >>> image_diagonal((3, 4))
        5.0
    """
    return float(np.linalg.norm(np.multiply(shape, _spacing(spacing, len(shape)))))


def _masks(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    prediction, truth = np.asarray(prediction) != 0, np.asarray(truth) != 0
    if prediction.shape != truth.shape:
        raise ValueError(
            f"the prediction has shape {prediction.shape}, the ground truth {truth.shape}: "
            "bring the prediction back to the grid of the ground truth before scoring"
        )
    return prediction, truth


def _spacing(spacing: Sequence[float] | None, axes: int) -> tuple[float, ...]:
    spacing = (1.0,) * axes if spacing is None else tuple(float(s) for s in spacing)
    if len(spacing) != axes or not all(0 < s < float("inf") for s in spacing):
        raise ValueError(f"spacing {spacing} must be {axes} positive numbers, one for each axis of the masks")
    return spacing


def _surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)
