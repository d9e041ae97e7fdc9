"""Scores of many cases and classes, and their means."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..regions import check_regions
from .scoring import LabelScoring, Scoring


class ScoreTable:
    """Collects one row for each case and class and gives the means over cases, then over classes.

    The strict convention is the result; the published one stands beside it for comparison with published tables
    (see :class:`components.metrics.Scoring`).

    Args:
        class_names: names of the foreground classes; label ``k`` in a map is ``class_names[k - 1]``.
        scoring: how a class is scored; by default Dice and HD95, with MSVM-UNet's published evaluation beside them.
        regions: the labels of each class where classes are sets of labels, which may overlap; None if label ``k`` is
            class ``k``.
        ignore_label: label of the ground truth's voxels that count in no score; they are background in both maps, so
            that surfaces end there. None counts all.

    Raises:
        ValueError: if the names, regions or scoring do not fit each other.

    Example:
        >>> table = ScoreTable(["liver", "spleen"])
        >>> truth = np.array([[0, 1, 1], [0, 2, 2]])
        >>> table.add("case1", prediction=np.array([[0, 1, 1], [0, 0, 2]]), truth=truth, spacing=(2.0, 1.0))
        >>> table.summary()["mean"]["strict"]["dice"]
        0.8333333333333333
    """

    def __init__(
        self,
        class_names: Sequence[str],
        scoring: Scoring | None = None,
        regions: Sequence[Sequence[int]] | None = None,
        ignore_label: int | None = None,
    ) -> None:
        if isinstance(class_names, str) or not class_names or len(set(class_names)) != len(class_names):
            raise ValueError(f"class_names must be a list of different names without background, not {class_names!r}")
        self.class_names = list(class_names)
        self.scoring = LabelScoring() if scoring is None else scoring
        self.scoring.check(self.class_names)
        self.regions = None if regions is None else check_regions(regions, ignore_label)
        self.ignore_label = ignore_label
        if self.regions is not None and len(self.regions) != len(self.class_names):
            raise ValueError(
                f"there are {len(self.regions)} regions for {len(self.class_names)} names: give one for each"
            )
        if not self.scoring.labels and (self.regions is not None or ignore_label is not None):
            raise ValueError("instances have neither regions nor an ignore_label")
        self.rows: list[dict[str, Any]] = []

    @property
    def cases(self) -> list[str]:
        """Names of the cases, in the order in which they were added."""
        return list(dict.fromkeys(row["case"] for row in self.rows))

    def add(self, case: str, prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> None:
        """Score one case.

        Args:
            case: its name.
            prediction: predicted labels 0 … number of classes, or instances, with 2 or 3 axes.
            truth: reference labels, or instances, on the same grid.
            spacing: voxel size along each axis in mm.

        Raises:
            ValueError: if the case is there already, the shapes or ``spacing`` do not fit, or a map has a label
                outside the classes.
        """
        if case in self.cases:
            raise ValueError(f"two cases are called {case!r}: give their files different names")
        prediction, truth = np.asarray(prediction), np.asarray(truth)
        if self.scoring.labels:
            self._check_labels(case, prediction=prediction, ground_truth=truth)
        if self.ignore_label is not None:
            ignored = truth == self.ignore_label
            prediction, truth = np.where(ignored, 0, prediction), np.where(ignored, 0, truth)
        self.rows += [
            {
                "case": case,
                "class": name,
                **self.scoring.score(self._class_map(prediction, label), self._class_map(truth, label), label, spacing),
            }
            for label, name in enumerate(self.class_names, start=1)
        ]

    def merge(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take over the rows of another table, for example of another process; cases that are here already stay."""
        here = set(self.cases)
        self.rows += [row for row in rows if row["case"] not in here]

    def summary(self) -> dict[str, Any]:
        """Means over the cases for each class and over the classes, with None if nothing was counted.

        Returns:
            ``cases`` (a number), ``spacing`` and ``conventions`` (what the numbers mean), ``scores`` (convention →
            names of its scores), ``within_cases`` (see :class:`components.metrics.Scoring`), ``classes`` (name →
            convention → score) and ``mean`` (convention → score; where the scoring says so, over the classes of a case
            and then over the cases). ``counted`` beside the strict scores is the number of cases in them.
        """
        columns = self.scoring.columns
        classes = {name: self._class_means(name) for name in self.class_names}
        return {
            "cases": len(self.cases),
            "spacing": self.scoring.spacing,
            "conventions": self.scoring.descriptions(),
            "scores": {convention: list(scores) for convention, scores in columns.items()},
            "within_cases": list(self.scoring.within_cases),
            "classes": classes,
            "mean": {
                convention: {
                    s: self._mean_of_cases(f"{convention}_{s}")
                    if convention in self.scoring.within_cases
                    else _mean(means[convention][s] for means in classes.values())
                    for s in scores
                }
                for convention, scores in columns.items()
            },
        }

    def csv(self) -> str:
        """The rows as CSV text; a score that does not count is an empty field."""
        columns = [f"{convention}_{score}" for convention, scores in self.scoring.columns.items() for score in scores]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header := ["case", "class", *columns, *self.scoring.sizes])
        writer.writerows([_field(row[name]) for name in header] for row in self.rows)
        return text.getvalue()

    def json(self) -> str:
        """The summary as JSON text."""
        return json.dumps(self.summary(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def _check_labels(self, case: str, **maps: np.ndarray) -> None:
        if self.regions is None:
            known = {*range(len(self.class_names) + 1)}
            only = f"{len(self.class_names)} class names allow only 0 to {len(self.class_names)}"
        else:
            known = {0, *(label for region in self.regions for label in region)}
            only = f"the regions allow only {sorted(known)}"
        for name, labels in maps.items():
            allowed = known if name == "prediction" else known | {self.ignore_label}
            if strange := sorted(set(np.unique(labels).tolist()) - allowed):
                raise ValueError(
                    f"the {name.replace('_', ' ')} of {case!r} has labels {strange[:5]}, but {only}: map the labels, "
                    f"or name every class"
                )

    def _class_map(self, labels: np.ndarray, number: int) -> np.ndarray:
        """A map in which the class has its number; the labels themselves where they are the classes."""
        return labels if self.regions is None else np.where(np.isin(labels, self.regions[number - 1]), number, 0)

    def _class_means(self, name: str) -> dict[str, dict[str, float | int | None]]:
        rows = [row for row in self.rows if row["class"] == name]
        means: dict[str, dict[str, float | int | None]] = {
            convention: {s: _mean(row[f"{convention}_{s}"] for row in rows) for s in scores}
            for convention, scores in self.scoring.columns.items()
        }
        first = self.scoring.columns["strict"][0]
        means["strict"]["counted"] = sum(not math.isnan(row[f"strict_{first}"]) for row in rows)
        return means

    def _mean_of_cases(self, column: str) -> float | None:
        of_case: dict[str, list[float]] = {}
        for row in self.rows:
            of_case.setdefault(row["case"], []).append(row[column])
        return _mean(_mean(values) for values in of_case.values())


def _mean(values: Iterable[float | None]) -> float | None:
    counted = [value for value in values if value is not None and not math.isnan(value)]
    return math.fsum(counted) / len(counted) if counted else None


def _field(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"
