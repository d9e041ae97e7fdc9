"""What a class scores where its prediction or its ground truth is empty, where overlap or distance have no value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .functional import dice, hd95, image_diagonal

DIAGONAL = math.inf
"""Stands for the diagonal of the image in a :class:`Convention`."""


@dataclass(frozen=True)
class Convention:
    """Scores of empty masks: NaN is left out of the means, :data:`DIAGONAL` is the image's diagonal.

    A pair is Dice and a score of the surface: HD95, or NSD in other published evaluations.

    Args:
        description: what the convention is, for tables and reports.
        both_empty: scores where neither map has the class.
        missed: scores where the ground truth has it and the prediction does not.
        invented: scores where the prediction has it and the ground truth does not.
    """

    description: str
    both_empty: tuple[float, float]
    missed: tuple[float, float]
    invented: tuple[float, float]

    def settle(
        self, scores: tuple[float, float], predicted: bool, present: bool, diagonal: float
    ) -> tuple[float, float]:
        """Put the convention's value in place of scores that have none.

        Args:
            scores: plain Dice and surface score, used where both masks have a voxel.
            predicted: whether the prediction has a voxel.
            present: whether the ground truth has one.
            diagonal: the image's diagonal in the unit of the HD95.

        Returns:
            Dice and surface score.
        """
        if predicted and present:
            return scores
        overlap, distance = self.invented if predicted else self.missed if present else self.both_empty
        return overlap, diagonal if distance == DIAGONAL else distance


CONVENTIONS: dict[str, Convention] = {
    "strict": Convention(
        "A class that is in neither map is not counted; one that is in only one of them scores Dice 0 and the "
        "diagonal of the image as HD95; Jaccard and ASD likewise.",
        both_empty=(math.nan, math.nan),
        missed=(0.0, DIAGONAL),
        invented=(0.0, DIAGONAL),
    ),
    "published": Convention(
        "As in the evaluation of MSVM-UNet (arXiv 2408.13735): a prediction without ground truth scores Dice 1 and "
        "HD95 0, an empty prediction 0 and 0; HD95 in voxels. Jaccard and ASD likewise.",
        both_empty=(0.0, 0.0),
        missed=(0.0, 0.0),
        invented=(1.0, 0.0),
    ),
}


def score(
    prediction: np.ndarray, truth: np.ndarray, convention: str = "strict", spacing: Sequence[float] | None = None
) -> tuple[float, float]:
    """Dice and HD95 of two masks of one class, empty ones included.

    Args:
        prediction: predicted mask with 1 to 3 axes.
        truth: reference mask of the same shape.
        convention: name of a row of :data:`CONVENTIONS`.
        spacing: voxel size along each axis for HD95, usually in mm; None measures in voxels.

    Returns:
        Dice in [0, 1] and HD95 in the unit of ``spacing``; both NaN where the convention does not count the class.

    Raises:
        ValueError: if the convention is unknown, the shapes differ or ``spacing`` does not fit.

    Example:
        >>> empty, square = np.zeros((3, 4)), np.ones((3, 4))
        >>> score(empty, square), score(square, empty, "published")
        ((0.0, 5.0), (1.0, 0.0))
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"unknown convention {convention!r}: choose one of {', '.join(CONVENTIONS)}")
    scores = dice(prediction, truth), hd95(prediction, truth, spacing)
    diagonal = image_diagonal(np.shape(truth), spacing)
    return CONVENTIONS[convention].settle(scores, bool(np.any(prediction)), bool(np.any(truth)), diagonal)
