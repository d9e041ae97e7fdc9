"""Agreement of predicted sizes with true ones: volumes, areas or numbers of instances."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..folds.cases import ScoredCase
from .charts import Chart, Level, Mark, chart
from .volume import read_labels

SIZES = {
    "ml": ("truth_ml", "prediction_ml", "volume"),
    "instances": ("truth_instances", "prediction_instances", "number"),
}
"""Columns of ``metrics.csv`` by unit, and what is measured."""
LIMITS = 1.96
"""Standard deviations between the bias and a limit: 95 % of a normal distribution lie within them."""


@dataclass(frozen=True)
class Agreement:
    """Bland–Altman analysis of a class.

    Source: J. M. Bland, D. G. Altman: Statistical methods for assessing agreement between two methods of clinical
    measurement. Lancet 327 (1986).

    Args:
        name: name of the class.
        pairs: name of the case, true and predicted size, of each case where one of them is not 0.
        unit: unit of the sizes.
        measured: what is measured.
    """

    name: str
    pairs: list[tuple[str, float, float]]
    unit: str
    measured: str

    @property
    def bias(self) -> float:
        """Mean of predicted minus true."""
        return statistics.fmean(predicted - true for _, true, predicted in self.pairs)

    @property
    def limits(self) -> tuple[float, float] | None:
        """Limits of agreement; None for less than two cases."""
        if len(self.pairs) < 2:
            return None
        spread = LIMITS * statistics.stdev(predicted - true for _, true, predicted in self.pairs)
        return self.bias - spread, self.bias + spread

    @property
    def chart(self) -> Chart:
        """The plot: predicted minus true over the mean of both."""
        marks = [
            Mark((true + predicted) / 2, predicted - true, f"{case}: true {true:.4g}, predicted {predicted:.4g}")
            for case, true, predicted in self.pairs
        ]
        levels = [Level(self.bias, f"bias {self.bias:+.3g}", main=True)]
        words = f"{self.name}: predicted minus true {self.measured} in {len(marks)} cases, bias {self.bias:+.3g}"
        if self.limits is not None:
            low, high = self.limits
            levels += [Level(low, f"{low:+.3g}"), Level(high, f"{high:+.3g}")]
            words += f", limits of agreement {low:+.3g} to {high:+.3g}"
        titles = f"mean of true and predicted, {self.unit}", f"predicted − true, {self.unit}"
        return chart(self.name, f"{words} {self.unit}.", marks, titles, joined=False, levels=levels)


def agreements(
    scores: Sequence[Mapping[str, str]],
    cases: Iterable[ScoredCase],
    classes: Mapping[str, Sequence[int]],
    flat: bool,
    ignore: int | None = None,
) -> list[Agreement]:
    """The analysis of each class, where there is something to compare.

    Args:
        scores: rows of ``metrics.csv``.
        cases: the test cases, whose files are measured where the rows have no sizes: those of pictures.
        classes: the labels of each class.
        flat: whether the cases are pictures.
        ignore: label of the pixels that are not scored, or None.
    """
    for unit, (true, predicted, measured) in SIZES.items():
        rows = [row for row in scores if row.get(true) and row.get(predicted)]
        if rows:
            pairs = [(row["class"], row["case"], float(row[true]), float(row[predicted])) for row in rows]
            return _by_class(pairs, unit, measured)
    return _by_class(_areas(cases, classes, ignore), "pixels", "area") if flat else []


def _by_class(pairs: Iterable[tuple[str, str, float, float]], unit: str, measured: str) -> list[Agreement]:
    found: dict[str, list[tuple[str, float, float]]] = {}
    for name, case, true, predicted in pairs:
        if true or predicted:
            found.setdefault(name, []).append((case, true, predicted))
    return [Agreement(name, of_class, unit, measured) for name, of_class in found.items()]


def _areas(
    cases: Iterable[ScoredCase], classes: Mapping[str, Sequence[int]], ignore: int | None
) -> Iterable[tuple[str, str, float, float]]:
    for case in cases:
        if case.label is None or not case.prediction.is_file():
            continue
        try:
            true, predicted = read_labels(case.label), read_labels(case.prediction)
        except UserError:  # reported where the pictures of the case would be
            continue
        if true.shape == predicted.shape:
            predicted = np.where(true == ignore, 0, predicted)
        for name, labels in classes.items():
            yield name, case.name, float(np.isin(true, labels).sum()), float(np.isin(predicted, labels).sum())
