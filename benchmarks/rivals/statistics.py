"""Intervals and tests over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean with its interval of 95 %, None without a spread to take it from."""

    mean: float
    low: float | None = None
    high: float | None = None


def interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Mean over patients with the bootstrap interval of 95 % (percentiles of 10,000 resamples).

    Args:
        values: one for each patient; NaN is left out.
        seed: of the resampling.
    """
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return Interval(float("nan"))
    if np.ptp(numbers) == 0:
        return Interval(float(numbers.mean()))
    found = stats.bootstrap(
        (numbers,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return Interval(float(numbers.mean()), float(found.low), float(found.high))


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of two networks.

    Args:
        difference: mean over patients of the first minus the second.
        p: of Wilcoxon's signed-rank test, two-sided; None if no patient differs.
        patients: how many both have.
    """

    difference: float
    p: float | None
    patients: int


def compare(ours: Mapping[str, float], other: Mapping[str, float]) -> Comparison:
    """Compare two networks on the patients that both have.

    Args:
        ours: score by patient.
        other: the same of the other network.
    """
    names = [name for name in ours if name in other and np.isfinite([ours[name], other[name]]).all()]
    differences = np.asarray([ours[name] - other[name] for name in names])
    if not names:
        return Comparison(float("nan"), None, 0)
    p = float(stats.wilcoxon(differences).pvalue) if differences.any() else None
    return Comparison(float(differences.mean()), p, len(names))


def by_patient(rows: Sequence[Mapping[str, object]], column: str) -> dict[str, float]:
    """Mean of a score of each patient, over classes and seeds, without those that are not counted.

    Args:
        rows: with ``case`` and the score.
        column: name of the score.

    Example:
        >>> by_patient([{"case": "a", "dice": 0.5}, {"case": "a", "dice": 0.7}, {"case": "b", "dice": None}], "dice")
        {'a': 0.6}
    """
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.get(column) is not None:
            found.setdefault(str(row["case"]), []).append(float(row[column]))  # type: ignore[arg-type]
    return {case: float(np.mean(values)) for case, values in found.items()}
