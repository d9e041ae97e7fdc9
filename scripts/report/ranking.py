"""Which test cases are shown: the best, the median and the worst."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

NAMED = {1: ["median"], 2: ["best", "worst"], 3: ["best", "median", "worst"]}


def case_means(scores: Sequence[Mapping[str, str]], key: str) -> dict[str, float]:
    """Mean of a score over the classes of each case; cases without any value are left out.

    Args:
        scores: rows of ``metrics.csv``.
        key: column of the score.
    """
    values: dict[str, list[float]] = {}
    for row in scores:
        if row.get(key):
            values.setdefault(row["case"], []).append(float(row[key]))
    return {case: math.fsum(found) / len(found) for case, found in values.items()}


def ranked(means: Mapping[str, float], count: int) -> dict[str, str]:
    """Up to ``count`` cases from the best to the worst, evenly spread over the ranks, and what each is called.

    Args:
        means: score of each case, the higher the better.
        count: how many.

    Example:
        >>> ranked({"a": 0.9, "b": 0.5, "c": 0.7, "d": 0.8, "e": 0.6}, 3)
        {'a': 'best', 'c': 'median', 'b': 'worst'}
    """
    order = sorted(means, key=lambda case: (-means[case], case))
    if not order:
        return {}
    count = min(count, len(order))
    places = [len(order) // 2] if count == 1 else [int(p) for p in np.linspace(0, len(order) - 1, count).round()]
    if len(order) == 1:
        return {order[0]: ""}
    names = NAMED.get(count, [f"rank {place + 1} of {len(order)}" for place in places])
    return {order[place]: name for place, name in zip(places, names, strict=True)}
