"""How a case becomes rows of a table: our strict scores, and beside them the evaluation that a paper published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from .conventions import CONVENTIONS, Convention
from .functional import dice, hausdorff_and_average, image_diagonal, jaccard, nsd


class Scoring:
    """Scores of one class of a case under two conventions, "strict" and "published".

    Attributes:
        columns: the scores of each convention, as they are called in the summary; rows call them ``strict_dice``.
        sizes: further columns of a row.
        within_cases: conventions whose mean is taken over the classes of each case first and then over the cases, not
            over the cases of each class first.
        spacing: what the unit of a distance is.
        labels: whether the maps hold the numbers of classes (or else of instances).
    """

    columns: ClassVar[dict[str, tuple[str, ...]]]
    sizes: ClassVar[tuple[str, ...]]
    within_cases: ClassVar[tuple[str, ...]] = ()
    spacing: ClassVar[str]
    labels: ClassVar[bool] = True

    def descriptions(self) -> dict[str, str]:
        """What each convention does, for tables and reports."""
        raise NotImplementedError

    def check(self, class_names: Sequence[str]) -> None:
        """Raise ValueError where the scoring does not fit the classes."""

    def score(
        self, prediction: np.ndarray, truth: np.ndarray, label: int, spacing: Sequence[float]
    ) -> dict[str, float]:
        """Score one class.

        Args:
            prediction: predicted map.
            truth: reference map on the same grid.
            label: number of the class, from 1.
            spacing: voxel size along each axis in mm.

        Returns:
            A value for each column (``strict_dice`` and so on) and each of ``sizes``; NaN is not counted.
        """
        raise NotImplementedError


class LabelScoring(Scoring):
    """Dice, HD95, Jaccard and ASD of each class; beside them MSVM-UNet's published evaluation (arXiv 2408.13735).

    Subclasses replace the published evaluation.
    """

    columns: ClassVar = {
        "strict": ("dice", "hd95_mm", "hd95_voxels", "jaccard", "asd_mm"),
        "published": ("dice", "hd95_voxels", "jaccard", "asd_voxels"),
    }
    sizes: ClassVar = ("truth_ml", "prediction_ml")
    spacing: ClassVar = (
        "HD95 in mm uses the voxel size in the affine of the ground truth; HD95 in voxels takes every voxel as a unit "
        "cube. ASD is the average distance of the prediction's surface from the ground truth's."
    )
    published: ClassVar[Convention] = CONVENTIONS["published"]

    def descriptions(self) -> dict[str, str]:
        """What each convention does."""
        return {"strict": CONVENTIONS["strict"].description, "published": self.published.description}

    def score(
        self, prediction: np.ndarray, truth: np.ndarray, label: int, spacing: Sequence[float]
    ) -> dict[str, float]:
        """Score the class of a label map, see :meth:`Scoring.score`."""
        prediction, truth = prediction == label, truth == label
        strict, found = CONVENTIONS["strict"], (bool(prediction.any()), bool(truth.any()))
        overlaps = dice(prediction, truth), jaccard(prediction, truth)
        in_mm, in_voxels = (hausdorff_and_average(prediction, truth, size) for size in (spacing, None))
        diagonals = image_diagonal(truth.shape, spacing), image_diagonal(truth.shape)
        plain = (overlaps[0], in_voxels[0], overlaps[1], in_voxels[1])
        published = self.publish(prediction, truth, label, spacing, plain)
        settled = [
            score
            for first in range(0, len(published), 2)
            for score in self.published.settle(published[first : first + 2], *found, diagonals[1])
        ]
        strict_dice, strict_hd95 = strict.settle((overlaps[0], in_mm[0]), *found, diagonals[0])
        strict_jaccard, strict_asd = strict.settle((overlaps[1], in_mm[1]), *found, diagonals[0])
        millilitres = math.prod(spacing) / 1000 if truth.ndim == 3 else math.nan
        return {
            "strict_dice": strict_dice,
            "strict_hd95_mm": strict_hd95,
            "strict_hd95_voxels": strict.settle((overlaps[0], in_voxels[0]), *found, diagonals[1])[1],
            "strict_jaccard": strict_jaccard,
            "strict_asd_mm": strict_asd,
            **{f"published_{name}": value for name, value in zip(self.columns["published"], settled, strict=True)},
            "truth_ml": int(truth.sum()) * millilitres,
            "prediction_ml": int(prediction.sum()) * millilitres,
        }

    def publish(
        self,
        prediction: np.ndarray,
        truth: np.ndarray,
        label: int,
        spacing: Sequence[float],
        plain: tuple[float, ...],
    ) -> tuple[float, ...]:
        """The published scores of a class, before the convention for empty masks is applied.

        Args:
            prediction: predicted mask.
            truth: reference mask.
            label: number of the class, from 1.
            spacing: voxel size along each axis in mm.
            plain: Dice, HD95 in voxels, Jaccard and ASD in voxels of the masks.

        Returns:
            Pairs of an overlap and a distance, or a score of the surface: one for each two published columns.
        """
        return plain


class OrganScoring(LabelScoring):
    """Beside the strict scores Dice and NSD as U-Mamba and xLSTM-UNet published them for abdominal MRI.

    NSD has a tolerance for each organ. Long vessels and the oesophagus, of which annotations stop at some slice, are
    scored only between the first and the last slice of the ground truth, the last one excluded; where there is but one
    slice (the published script ends there), that one is scored. Source: U-Mamba (Ma et
    al., 2024, arXiv 2401.04722), after the FLARE 2022 challenge.

    Args:
        tolerances_mm: distance that counts as none, one for each class.
        range_labels: labels of the classes that are scored within the slices of the ground truth.
        slice_axis: spatial axis of the slices; the last one in NIfTI files of axial slices.

    Raises:
        ValueError: in a table whose number of classes is not that of ``tolerances_mm``.
    """

    columns: ClassVar = {**LabelScoring.columns, "published": ("dice", "nsd")}
    published: ClassVar = Convention(
        "As in the evaluation of U-Mamba (arXiv 2401.04722): NSD with a tolerance in mm for each organ, vessels and "
        "oesophagus only within the slices of the ground truth; an organ that is in neither map scores 1 and 1, one "
        "that is in only one of them 0 and 0.",
        both_empty=(1.0, 1.0),
        missed=(0.0, 0.0),
        invented=(0.0, 0.0),
    )

    def __init__(self, tolerances_mm: Sequence[float], range_labels: Sequence[int] = (), slice_axis: int = -1) -> None:
        self.tolerances_mm = tuple(tolerances_mm)
        self.range_labels = frozenset(range_labels)
        self.slice_axis = slice_axis

    def check(self, class_names: Sequence[str]) -> None:
        """Raise ValueError unless there is a tolerance for each class."""
        if len(self.tolerances_mm) != len(class_names):
            raise ValueError(
                f"tolerances_mm has {len(self.tolerances_mm)} numbers for {len(class_names)} classes: give one for each"
            )
        if strange := sorted(self.range_labels - set(range(1, len(class_names) + 1))):
            raise ValueError(f"range_labels {strange} are not among the labels 1 to {len(class_names)}")

    def publish(
        self,
        prediction: np.ndarray,
        truth: np.ndarray,
        label: int,
        spacing: Sequence[float],
        plain: tuple[float, ...],
    ) -> tuple[float, float]:
        """Dice and NSD; both NaN where a mask is empty."""
        if not truth.any() or not prediction.any():
            return math.nan, math.nan
        if label in self.range_labels:
            axis = self.slice_axis % truth.ndim
            slices = np.flatnonzero(truth.any(axis=tuple(a for a in range(truth.ndim) if a != axis)))
            within = (slice(None),) * axis + (slice(slices[0], max(slices[-1], slices[0] + 1)),)
            prediction, truth = prediction[within], truth[within]
        return dice(prediction, truth), nsd(prediction, truth, self.tolerances_mm[label - 1], spacing)


class FrameScoring(LabelScoring):
    """Beside the strict scores Dice and NSD as U-Mamba and xLSTM-UNet published them for endoscopy.

    The published means are over the labels that a frame or its prediction has, then over the frames. NSD is measured as
    if a frame were a volume of one slice, whose whole area is surface too, so that it is closer to an overlap than that
    of the contours. Source: U-Mamba (Ma et al., 2024, arXiv 2401.04722).

    Args:
        tolerance: distance that counts as none, in pixels.
    """

    columns: ClassVar = {**LabelScoring.columns, "published": ("dice", "nsd")}
    within_cases: ClassVar = ("published",)
    published: ClassVar = Convention(
        "As in the evaluation of U-Mamba (arXiv 2401.04722): the mean over the labels that are in either map of an "
        "image, then over the images; a label in only one of them scores 0 and 0; NSD within a tolerance in pixels, "
        "with each image as a volume of one slice.",
        both_empty=(math.nan, math.nan),
        missed=(0.0, 0.0),
        invented=(0.0, 0.0),
    )

    def __init__(self, tolerance: float = 2.0) -> None:
        self.tolerance = tolerance

    def publish(
        self,
        prediction: np.ndarray,
        truth: np.ndarray,
        label: int,
        spacing: Sequence[float],
        plain: tuple[float, ...],
    ) -> tuple[float, float]:
        """Dice and NSD."""
        return plain[0], nsd(prediction[..., None], truth[..., None], self.tolerance)
