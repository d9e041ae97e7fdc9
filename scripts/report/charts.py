"""Charts as small SVG pictures that take their colours from the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from matplotlib.ticker import MaxNLocator

WIDTH, HEIGHT = 460, 270
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 44
"""Size of a chart and the room around its axes, in units of the SVG."""
SINGLE = 150
"""Largest number of points that are drawn one by one on a line."""


@dataclass(frozen=True)
class Mark:
    """A point of a chart.

    Args:
        x: its place along the horizontal axis.
        y: its place along the vertical axis.
        text: what it is, for readers.
        best: whether it is marked among the others.
    """

    x: float
    y: float
    text: str
    best: bool = False


@dataclass(frozen=True)
class Level:
    """A horizontal line through a chart.

    Args:
        y: its place.
        text: what it is.
        main: whether it is drawn through, else dashed.
    """

    y: float
    text: str
    main: bool = False


@dataclass(frozen=True)
class Axis:
    """Positions along an axis: from values to units of the SVG.

    Args:
        title: name and unit.
        ticks: value, place and text of each tick.
        place: from a value to its place.
    """

    title: str
    ticks: list[tuple[float, str]]
    place: Callable[[float], float]


@dataclass(frozen=True)
class Chart:
    """A chart, ready for the template.

    Args:
        title: what it shows.
        description: its course as text, for readers who cannot see it.
        x: horizontal axis.
        y: vertical axis.
        marks: the points, from left to right.
        joined: whether a line goes through the points.
        levels: horizontal lines.
    """

    title: str
    description: str
    x: Axis
    y: Axis
    marks: list[Mark]
    joined: bool = True
    levels: list[Level] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The points as coordinates of a polyline; empty if they are not joined."""
        return " ".join(f"{self.x.place(m.x):.1f},{self.y.place(m.y):.1f}" for m in self.marks) if self.joined else ""

    @property
    def shown(self) -> list[tuple[float, float, Mark]]:
        """Place and mark of the points that are drawn one by one: all, or of many on a line some and the marked one."""
        step = math.ceil(len(self.marks) / SINGLE) if self.joined else 1
        return [
            (round(self.x.place(mark.x), 1), round(self.y.place(mark.y), 1), mark)
            for number, mark in enumerate(self.marks)
            if mark.best or number % step == 0
        ]


def chart(
    title: str,
    description: str,
    marks: Sequence[Mark],
    titles: tuple[str, str],
    joined: bool = True,
    levels: Sequence[Level] = (),
    whole: bool = False,
) -> Chart:
    """Lay out a chart.

    Args:
        title: what it shows.
        description: its course as text.
        marks: the points; at least one.
        titles: of the horizontal and of the vertical axis.
        joined: whether a line goes through the points.
        levels: horizontal lines.
        whole: whether the ticks of the horizontal axis are whole numbers.
    """
    marks = sorted(marks, key=lambda mark: mark.x)
    heights = [mark.y for mark in marks] + [level.y for level in levels]
    return Chart(
        title,
        description,
        _axis(titles[0], [mark.x for mark in marks], LEFT, WIDTH - RIGHT, whole),
        _axis(titles[1], heights, HEIGHT - BOTTOM, TOP, False),
        marks,
        joined,
        list(levels),
    )


def _axis(title: str, values: Sequence[float], begin: float, end: float, whole: bool) -> Axis:
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    low, high = low - room, high + room

    def place(value: float) -> float:
        return begin + (value - low) / (high - low) * (end - begin)

    found = MaxNLocator(nbins=5, integer=whole, min_n_ticks=2).tick_values(low, high)
    return Axis(title, [(round(place(v), 1), f"{v:.6g}") for v in found if low <= v <= high], place)
