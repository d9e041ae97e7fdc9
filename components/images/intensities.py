"""Intensities in the range that the networks were trained on."""

from __future__ import annotations

import numpy as np


def rgb8(picture: np.ndarray) -> np.ndarray:
    """A picture as H × W × 3, uint8: 8 bits as they are, all others stretched, see :func:`stretched_rgb`.

    Args:
        picture: H × W, or H × W × 3.
    """
    if picture.dtype != np.uint8:
        return stretched_rgb(picture)
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture


def stretched_rgb(picture: np.ndarray) -> np.ndarray:
    """Picture of any intensities as H × W × 3, uint8; grey becomes three equal channels.

    Raises:
        ValueError: if there is NaN or infinity, or a value below 0.
    """
    from ..transforms.percentiles import PercentilesToUint8d

    if not np.isfinite(picture).all() or picture.min() < 0:
        raise ValueError("some pixels are NaN, infinite or below 0")
    channels = picture[None] if picture.ndim == 2 else np.moveaxis(picture, -1, 0)
    stretched = np.asarray(PercentilesToUint8d("image")({"image": channels})["image"])
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(stretched, (3, *channels.shape[1:])), 0, -1))


def unit_range(voxels: np.ndarray) -> np.ndarray:
    """Minimum to 0 and maximum to 1, as float32.

    Raises:
        ValueError: if there is NaN or infinity, or all values are the same.
    """
    if not np.isfinite(voxels).all():
        raise ValueError("some voxels are NaN or infinite")
    low, high = float(voxels.min()), float(voxels.max())
    if low == high:
        raise ValueError(f"all voxels are {low:g}")
    return ((voxels.astype(np.float64) - low) / (high - low)).astype(np.float32)
