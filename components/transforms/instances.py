"""Instance maps as classes that a network can learn, and back."""

from __future__ import annotations

import numpy as np
from monai.config import KeysCollection
from scipy import ndimage

from .mapped import ArrayMapTransform


def interior_boundary(instances: np.ndarray, min_size: int = 16) -> np.ndarray:
    """Classes of an instance map: 0 background, 1 interior, 2 boundary.

    The boundary is the pixels of an instance with a face neighbour in another one or in the background, widened by one
    pixel to all face neighbours, so that it also covers the background's first pixel. The interior is the rest of the
    instances, without pieces of less than ``min_size`` pixels. Source: the baseline of the NeurIPS 2022 cell
    segmentation challenge (Ma et al., 2024).

    Args:
        instances: one number for each instance, 0 is background; any number of axes.
        min_size: size of the smallest piece of an interior that is kept.

    Returns:
        An array of uint8 of the same shape.

    Example:
        >>> interior_boundary(np.pad(np.full((5, 5), 7), 2), min_size=1)[2:7, 4].tolist()
        [2, 2, 1, 2, 2]
    """
    cross = ndimage.generate_binary_structure(instances.ndim, 1)
    highest = ndimage.maximum_filter(instances, footprint=cross, mode="nearest")
    lowest = ndimage.minimum_filter(instances, footprint=cross, mode="nearest")
    boundary = ndimage.binary_dilation((highest != lowest) & (instances != 0), cross)
    pieces, _ = ndimage.label((instances != 0) & ~boundary, cross)
    large = np.bincount(pieces.ravel()) >= min_size
    large[0] = False
    return np.where(boundary, 2, large[pieces]).astype(np.uint8)


def instances_of(classes: np.ndarray, interior: int = 1, grow: float = 0.0, min_size: int = 1) -> np.ndarray:
    """Number the connected pieces of a class, diagonal neighbours included.

    Args:
        classes: labels with any number of axes.
        interior: label of the class.
        grow: how far each piece is grown into the other classes but the background, in pixels: each of their pixels
            goes to the nearest piece within that distance. :func:`interior_boundary` takes 2 pixels away from the edge
            of an instance, which 2 gives back.
        min_size: size of the smallest piece that counts, in pixels, before it grows.

    Returns:
        An array of int32, 0 is everything else.

    Example:
        >>> instances_of(np.array([[1, 0, 1], [0, 1, 2], [2, 2, 1]])).tolist()
        [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    """
    everything = np.ones((3,) * classes.ndim, dtype=bool)
    pieces = ndimage.label(classes == interior, everything)[0].astype(np.int32)
    if min_size > 1:
        sizes = np.bincount(pieces.ravel())
        kept = np.flatnonzero(sizes[1:] >= min_size) + 1
        numbers = np.zeros(len(sizes), np.int32)
        numbers[kept] = np.arange(1, len(kept) + 1)
        pieces = numbers[pieces]
    if grow > 0 and pieces.any():
        distance, nearest = ndimage.distance_transform_edt(pieces == 0, return_indices=True)
        pieces = np.where((distance <= grow) & (classes != 0), pieces[tuple(nearest)], 0)
    return pieces


class InstancesToInteriord(ArrayMapTransform):
    """Make the classes interior and boundary of instance maps, see :func:`interior_boundary`.

    Args:
        keys: instance maps, each channel first; every channel is a map.
        min_size: size of the smallest piece of an interior that is kept.
        allow_missing_keys: whether items may be missing.
    """

    def __init__(self, keys: KeysCollection, min_size: int = 16, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys, interior_boundary, min_size)


class InteriorToInstancesd(ArrayMapTransform):
    """Decode instances from predicted classes, see :func:`instances_of`.

    Args:
        keys: label maps, each channel first; every channel is a map.
        interior: label of the interior.
        grow: how far the pieces are grown back, in pixels.
        min_size: size of the smallest piece that counts, in pixels.
        allow_missing_keys: whether items may be missing.
    """

    def __init__(
        self,
        keys: KeysCollection,
        interior: int = 1,
        grow: float = 0.0,
        min_size: int = 1,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys, instances_of, interior, grow, min_size)
