"""F1 of instances, such as cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from .scoring import Scoring


def count_matches(prediction: np.ndarray, truth: np.ndarray, iou: float = 0.5) -> tuple[int, int, int]:
    """Match the instances of two maps one to one, as many as possible with an IoU of at least ``iou``.

    The number of matches is that of the Hungarian method with a gain of 1 for each such pair.

    Args:
        prediction: predicted instances, one number each, 0 is background.
        truth: reference instances, of the same shape.
        iou: smallest intersection over union of a match, above 0.

    Returns:
        Numbers of matches, of predicted and of reference instances.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> count_matches(np.array([1, 1, 0, 2, 2]), np.array([5, 5, 5, 0, 7]))
        (2, 2, 2)
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f"the predicted instances have shape {prediction.shape}, the reference {truth.shape}: "
            "bring the prediction back to the grid of the ground truth before scoring"
        )
    area_p, area_t = (np.bincount(instances.ravel().astype(np.int64)) for instances in (prediction, truth))
    both = (prediction != 0) & (truth != 0)
    pairs = sparse.coo_array(
        (np.ones(both.sum(), dtype=np.int64), (truth[both], prediction[both])), shape=(len(area_t), len(area_p))
    )
    pairs.sum_duplicates()
    match = pairs.data >= iou * (area_t[pairs.row] + area_p[pairs.col] - pairs.data)
    graph = sparse.csr_array((np.ones(match.sum()), (pairs.row[match], pairs.col[match])), shape=pairs.shape)
    matched = int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())
    return matched, int(np.count_nonzero(area_p[1:])), int(np.count_nonzero(area_t[1:]))


def drop_border(instances: np.ndarray, width: int = 2) -> np.ndarray:
    """Remove the instances that have a pixel in the frame of the image.

    Args:
        instances: one number for each instance, 0 is background.
        width: width of the frame in pixels; 0 keeps all.

    Example:
        >>> drop_border(np.array([[1, 1, 0, 0, 0], [0, 0, 2, 0, 0], [0, 0, 0, 0, 3]]), width=1).tolist()
        [[0, 0, 0, 0, 0], [0, 0, 2, 0, 0], [0, 0, 0, 0, 0]]
    """
    frame = np.ones(instances.shape, dtype=bool)
    frame[tuple(slice(width, max(n - width, width)) for n in instances.shape)] = False
    return np.where(np.isin(instances, np.unique(instances[frame])), 0, instances)


class InstanceScoring(Scoring):
    """F1 of the instances of an image, matched at an IoU.

    Strict: all instances count. Published: as U-Mamba and xLSTM-UNet did for the NeurIPS 2022 cell segmentation data
    (Ma et al., 2024, arXiv 2401.04722): instances that touch the frame of the image are dropped from both maps; large
    images are cut into tiles, the last ones filled up with background, each with its frame, and their counts are added.

    Args:
        iou: smallest intersection over union of a match.
        border: width of the frame in pixels.
        tile: height and width of a tile in pixels.
        tiled_from: number of pixels from which an image is cut into tiles.
    """

    columns: ClassVar = {"strict": ("f1",), "published": ("f1",)}
    sizes: ClassVar = ("truth_instances", "prediction_instances")
    spacing: ClassVar = "Instances are matched by their overlap; no distance is measured."
    labels: ClassVar = False

    def __init__(self, iou: float = 0.5, border: int = 2, tile: int = 2000, tiled_from: int = 25_000_000) -> None:
        self.iou, self.border, self.tile, self.tiled_from = iou, border, tile, tiled_from

    def descriptions(self) -> dict[str, str]:
        """What each convention does."""
        return {
            "strict": f"F1 of all instances, matched at an IoU of at least {self.iou:g}; an image with none in either "
            "map is not counted.",
            "published": "As in the evaluation of U-Mamba (arXiv 2401.04722): instances that touch a frame of "
            f"{self.border} pixels are dropped from both maps, images of {self.tiled_from / 1e6:g} million pixels and "
            f"more are scored in tiles of {self.tile} × {self.tile}; an image without a match scores 0.",
        }

    def check(self, class_names: Sequence[str]) -> None:
        """Raise ValueError unless there is one class."""
        if len(class_names) != 1:
            raise ValueError(f"instances have one class, such as ['cell'], but class_names has {len(class_names)}")

    def score(
        self, prediction: np.ndarray, truth: np.ndarray, label: int, spacing: Sequence[float]
    ) -> dict[str, float]:
        """Score the instances of an image, see :meth:`Scoring.score`."""
        matched, predicted, present = count_matches(prediction, truth, self.iou)
        inner = [
            count_matches(drop_border(p, self.border), drop_border(t, self.border), self.iou)
            for p, t in zip(self._tiles(prediction), self._tiles(truth), strict=True)
        ]
        return {
            "strict_f1": 2 * matched / (predicted + present) if predicted + present else math.nan,
            "published_f1": 2 * sum(m for m, *_ in inner) / max(sum(p + t for _, p, t in inner), 1),
            "truth_instances": present,
            "prediction_instances": predicted,
        }

    def _tiles(self, instances: np.ndarray) -> Iterator[np.ndarray]:
        if instances.size < self.tiled_from:
            yield instances
            return
        filled = np.pad(instances, [(0, -n % self.tile) for n in instances.shape])
        for corner in np.ndindex(*(n // self.tile for n in filled.shape)):
            yield filled[tuple(slice(c * self.tile, (c + 1) * self.tile) for c in corner)]
