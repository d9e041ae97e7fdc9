"""Label maps as they are scored, and means of the scores."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from components.images.reading import read

from ..data.reading import naming


def label_map(path: Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A label map on the grid of its file.

    Args:
        path: a volume or a picture.
        shape: the shape that it must have; any by default.

    Raises:
        UserError: if the file is damaged or its shape is another.
    """
    with naming(path):
        labels = np.rint(read(path, numbers=True).array).astype(np.int16)
        if shape is not None and labels.shape != shape:
            raise ValueError(f"it has shape {labels.shape}, but its ground truth {shape}: they must be on one grid")
        return labels


def mean_of(values: np.ndarray) -> np.ndarray:
    """Means over the first axis, without NaN; NaN where there is nothing else."""
    counted = ~np.isnan(values)
    total = np.where(counted, values, 0).sum(0)
    return np.divide(total, counted.sum(0), out=np.full(total.shape, math.nan), where=counted.any(0))
