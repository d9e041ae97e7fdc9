"""Curves of a training as SVG that takes the colours of the page."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.figure import Figure

TITLES = {"loss": "Training loss", "learning_rate": "Learning rate"}
INK, ACCENT = "#010203", "#3d8bfd"
"""A colour that nothing else has, which becomes the page's text colour, and one that stands out on light and dark."""

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "scanseg",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Curve:
    """A curve of the report.

    Args:
        title: what it shows.
        description: its course in words, for readers who do not see it.
        svg: the picture as inline SVG.
    """

    title: str
    description: str
    svg: str


def curves(history: Sequence[Mapping[str, str]]) -> list[Curve]:
    """One curve for the loss, each validation metric and the learning rate, over the epochs.

    Args:
        history: rows of ``history.csv``; empty fields are left out.
    """
    columns = list(history[0]) if history else []
    metrics = [name for name in columns if name not in ("epoch", "loss", "learning_rate", "seconds")]
    return [
        _curve(name, points)
        for name in ("loss", *metrics, "learning_rate")
        if (points := [(int(row["epoch"]), float(row[name])) for row in history if row.get(name)])
    ]


def _curve(name: str, points: list[tuple[int, float]]) -> Curve:
    title = TITLES.get(name, f"Validation: {name.removeprefix('val_').replace('_', ' ')}")
    first, last = points[0], points[-1]
    low, high = min(v for _, v in points), max(v for _, v in points)
    description = (
        f"{title}: {first[1]:.4g} at epoch {first[0]}, {last[1]:.4g} at epoch {last[0]}, "
        f"lowest {low:.4g}, highest {high:.4g}."
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.5, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(*zip(*points, strict=True), color=ACCENT, marker="o" if len(points) < 30 else "", markersize=3)
        axes.set(xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.2, color=INK)
        text = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Several pictures share one page, so the names inside each need its own mark.
    mark = re.sub(r"\W", "-", name)
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{mark}-", svg)
    return Curve(title, description, svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(description)}"', 1))
