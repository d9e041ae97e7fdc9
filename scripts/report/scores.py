"""Columns of scores: how each score is called, in which unit it is shown, and the same table as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..tables import aligned
from .published import Published


@dataclass(frozen=True)
class Column:
    """A score as it is shown.

    Args:
        key: its name in ``metrics.json``.
        title: its name for readers.
        unit: unit in which it is shown, or empty.
        factor: from the stored value to this unit.
    """

    key: str
    title: str
    unit: str = ""
    factor: float = 1.0

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title} {self.unit}".strip()

    def text(self, value: float | str | None) -> str:
        """A stored value in the unit with one digit after the point; a dash where nothing was counted."""
        return "–" if value in (None, "") else f"{self.factor * float(value):.1f}"


COLUMNS = {
    column.key: column
    for column in (
        Column("dice", "Dice", "%", 100),
        Column("nsd", "NSD", "%", 100),
        Column("f1", "F1", "%", 100),
        Column("hd95_mm", "HD95", "mm"),
        Column("hd95_voxels", "HD95", "voxels"),
        Column("jaccard", "Jaccard", "%", 100),
        Column("asd_mm", "ASD", "mm"),
        Column("asd_voxels", "ASD", "voxels"),
    )
}
"""The scores of :mod:`components.metrics`; any other is shown as it is stored, under its own name."""
PIXELS = {key: Column(key, title, "pixels") for key, title in (("hd95_voxels", "HD95"), ("asd_voxels", "ASD"))}


def columns(keys: Iterable[str], flat: bool = False) -> list[Column]:
    """Columns of the scores of a convention.

    Args:
        keys: names of the scores as in ``metrics.json``.
        flat: whether the cases are pictures, which have pixels and no size in mm.
    """
    found = {**COLUMNS, **PIXELS} if flat else COLUMNS
    return [found.get(key, Column(key, key)) for key in keys if not (flat and key.endswith("_mm"))]


def leading(found: Iterable[Column]) -> list[Column]:
    """The first column of each title, for where there is no room for the same score in two units."""
    first: dict[str, Column] = {}
    for column in found:
        first.setdefault(column.title, column)
    return list(first.values())


@dataclass(frozen=True)
class ClassTable:
    """Scores of the classes as text, in groups of columns: strict, published convention, and the paper's.

    Args:
        groups: title and headings of each group.
        classes: for each class its cells in each group.
        mean: the same for the mean.
    """

    groups: list[tuple[str, list[str]]]
    classes: dict[str, list[list[str]]]
    mean: list[list[str]]


def class_table(metrics: Mapping[str, Any], published: Published | None = None, flat: bool = False) -> ClassTable:
    """Put the scores of ``metrics.json`` and those of a paper side by side.

    Args:
        metrics: content of ``metrics.json``.
        published: the paper's table of the same classes; what it does not have stays empty.
        flat: whether the cases are pictures.
    """
    strict, own = (columns(metrics["scores"][convention], flat) for convention in ("strict", "published"))
    paper = columns(published.mean, flat) if published else []

    def cells(scores: Mapping[str, Any], printed: Mapping[str, float]) -> list[list[str]]:
        return [
            [*(c.text(scores["strict"][c.key]) for c in strict), str(scores["strict"].get("counted", ""))],
            [c.text(scores["published"][c.key]) for c in own],
            [f"{printed[c.key]:.2f}" if c.key in printed else "" for c in paper],
        ]

    titles = {"Strict": strict, "Published convention": own, **({"Paper": paper} if paper else {})}
    groups = [(title, [c.heading for c in found]) for title, found in titles.items()]
    groups[0][1].append("cases counted")
    by_class = published.by_class if published else {}
    return ClassTable(
        groups,
        {name: cells(scores, by_class.get(name, {})) for name, scores in metrics["classes"].items()},
        cells(metrics["mean"], published.mean if published else {}),
    )


def plain_table(metrics: Mapping[str, Any], found: Iterable[Column]) -> str:
    """Strict scores of each class and their mean as aligned lines of text.

    Args:
        metrics: content of ``metrics.json``.
        found: columns to show.
    """
    found = list(found)
    rows = [
        [name, *(column.text(scores["strict"][column.key]) for column in found)]
        for name, scores in [*metrics["classes"].items(), ("Mean", metrics["mean"])]
    ]
    return aligned(rows, ["Class", *(column.heading for column in found)])
