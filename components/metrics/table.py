"""Scores of many cases and classes, and their means."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .conventions import CONVENTIONS
from .functional import dice, hd95, image_diagonal

COLUMNS: dict[str, tuple[str, ...]] = {
    "strict": ("dice", "hd95_mm", "hd95_voxels"),
    "published": ("dice", "hd95_voxels"),
}
"""The scores of each convention, as they are called in the summary; rows call them ``strict_dice`` and so on."""

SPACING_NOTE = (
    "HD95 in mm uses the voxel size in the affine of the ground truth; HD95 in voxels takes every voxel as a unit cube."
)


class ScoreTable:
    """Collects one row for each case and class and gives the means over cases, then over classes.

    The strict convention is the result; the published one stands beside it for comparison with published tables
    (see :data:`components.metrics.CONVENTIONS`).

    Args:
        class_names: names of the foreground classes; label ``k`` in a map is ``class_names[k - 1]``.

    Example:
        >>> table = ScoreTable(["liver", "spleen"])
        >>> truth = np.array([[0, 1, 1], [0, 2, 2]])
        >>> table.add("case1", prediction=np.array([[0, 1, 1], [0, 0, 2]]), truth=truth, spacing=(2.0, 1.0))
        >>> table.summary()["mean"]["strict"]["dice"]
        0.8333333333333333
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        if isinstance(class_names, str) or not class_names or len(set(class_names)) != len(class_names):
            raise ValueError(f"class_names must be a list of different names without background, not {class_names!r}")
        self.class_names = list(class_names)
        self.rows: list[dict[str, Any]] = []

    @property
    def cases(self) -> list[str]:
        """Names of the cases, in the order in which they were added."""
        return list(dict.fromkeys(row["case"] for row in self.rows))

    def add(self, case: str, prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> None:
        """Score one case.

        Args:
            case: its name.
            prediction: predicted labels 0 … number of classes, with 2 or 3 axes.
            truth: reference labels on the same grid.
            spacing: voxel size along each axis in mm.

        Raises:
            ValueError: if the case is there already, the shapes or ``spacing`` do not fit, or a map has a label
                outside the classes.
        """
        if case in self.cases:
            raise ValueError(f"two cases are called {case!r}: give their files different names")
        prediction, truth = np.asarray(prediction), np.asarray(truth)
        known = range(len(self.class_names) + 1)
        for name, labels in (("prediction", prediction), ("ground truth", truth)):
            if strange := sorted(set(np.unique(labels).tolist()) - set(known)):
                raise ValueError(
                    f"the {name} of {case!r} has labels {strange[:5]}, but {len(self.class_names)} class names allow "
                    f"only 0 to {len(self.class_names)}: map the labels, or name every class"
                )
        self.rows += [
            {"case": case, "class": name, **_scores(prediction == label, truth == label, spacing)}
            for label, name in enumerate(self.class_names, start=1)
        ]

    def merge(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take over the rows of another table, for example of another process; cases that are here already stay."""
        here = set(self.cases)
        self.rows += [row for row in rows if row["case"] not in here]

    def summary(self) -> dict[str, Any]:
        """Means over the cases for each class and over the classes, with None where nothing was counted.

        Returns:
            ``cases`` (a number), ``spacing`` and ``conventions`` (what the numbers mean), ``classes`` (name →
            convention → score) and ``mean`` (convention → score). ``counted`` beside the strict scores is the number of
            cases in them.
        """
        classes = {name: self._class_means(name) for name in self.class_names}
        return {
            "cases": len(self.cases),
            "spacing": SPACING_NOTE,
            "conventions": {name: convention.description for name, convention in CONVENTIONS.items()},
            "classes": classes,
            "mean": {
                convention: {s: _mean(means[convention][s] for means in classes.values()) for s in scores}
                for convention, scores in COLUMNS.items()
            },
        }

    def csv(self) -> str:
        """The rows as CSV text; a score that does not count is an empty field."""
        columns = [f"{convention}_{score}" for convention, scores in COLUMNS.items() for score in scores]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header := ["case", "class", *columns, "truth_ml", "prediction_ml"])
        writer.writerows([_field(row[name]) for name in header] for row in self.rows)
        return text.getvalue()

    def json(self) -> str:
        """The summary as JSON text."""
        return json.dumps(self.summary(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def _class_means(self, name: str) -> dict[str, dict[str, float | int | None]]:
        rows = [row for row in self.rows if row["class"] == name]
        means: dict[str, dict[str, float | int | None]] = {
            convention: {s: _mean(row[f"{convention}_{s}"] for row in rows) for s in scores}
            for convention, scores in COLUMNS.items()
        }
        means["strict"]["counted"] = sum(not math.isnan(row["strict_dice"]) for row in rows)
        return means


def _scores(prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> dict[str, float]:
    overlap, distance_mm, distance = dice(prediction, truth), hd95(prediction, truth, spacing), hd95(prediction, truth)
    found = bool(prediction.any()), bool(truth.any())
    diagonal_mm, diagonal = image_diagonal(truth.shape, spacing), image_diagonal(truth.shape)
    strict, published = CONVENTIONS["strict"], CONVENTIONS["published"]
    strict_dice, strict_mm = strict.settle((overlap, distance_mm), *found, diagonal_mm)
    _, strict_voxels = strict.settle((overlap, distance), *found, diagonal)
    published_dice, published_voxels = published.settle((overlap, distance), *found, diagonal)
    millilitres = math.prod(spacing) / 1000 if truth.ndim == 3 else math.nan
    return {
        "strict_dice": strict_dice,
        "strict_hd95_mm": strict_mm,
        "strict_hd95_voxels": strict_voxels,
        "published_dice": published_dice,
        "published_hd95_voxels": published_voxels,
        "truth_ml": int(truth.sum()) * millilitres,
        "prediction_ml": int(prediction.sum()) * millilitres,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    counted = [value for value in values if value is not None and not math.isnan(value)]
    return math.fsum(counted) / len(counted) if counted else None


def _field(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"
