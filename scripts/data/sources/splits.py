"""How the data of the trained bundles were divided, so that nobody tests weights on what they have seen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from components.files import read_json

from ..dataset import PARTS

SPLITS = Path(__file__).with_name("splits.json")
"""For each trained bundle the cases of training and validation; every other one is a test case."""


def parts_of(bundle: str, names: Iterable[str]) -> dict[str, list[str]]:
    """Divide cases as the weights of a bundle were trained.

    Args:
        bundle: name of the bundle.
        names: names of the cases; a name may be longer than the one that was kept.

    Returns:
        Names by part, in their order.
    """
    kept = read_json(SPLITS)[bundle]
    place = {name: part for part, cases in kept.items() for name in cases}
    length = {len(name) for name in place}
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in names:
        found = next((place[name[:n]] for n in sorted(length, reverse=True) if name[:n] in place), "test")
        parts[found].append(name)
    return parts
