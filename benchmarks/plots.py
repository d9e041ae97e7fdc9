"""Pictures of a measurement: growth in log–log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from components.files import replacing
from scripts.bench.session import Row

from .tables import Record, curve

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's colours, which most colour-blind readers can tell apart."""
MARKS = "osD^vP"


def plots(record: Record, folder: Path) -> dict[str, list[str]]:
    """Write the pictures of a measurement.

    Args:
        record: content of ``bench.json``.
        folder: where to write; made where it is missing.

    Returns:
        File names by group, in the order of the works.
    """
    written: dict[str, list[str]] = {}
    works: dict[str, list[Row]] = {}
    for row in record["rows"]:
        if "failed" not in row and row["work"].startswith("scaling/"):
            works.setdefault(row["work"], []).append(row)
    for work, rows in works.items():
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        if not _growth(axes, rows):
            continue
        file = f"{work.replace('/', '_')}.png"
        with replacing(folder / file) as partial:
            figure.savefig(partial, dpi=150, metadata={"Software": None})
        written.setdefault("scaling", []).append(file)
    return written


def _growth(axes: Axes, rows: Sequence[Row]) -> bool:
    lines = {
        name: curve([row for row in rows if row["name"] == name]) for name in dict.fromkeys(r["name"] for r in rows)
    }
    for place, (name, (xs, ys)) in enumerate(lines.items()):
        axes.plot(xs, ys, label=name, color=COLOURS[place % 6], marker=MARKS[place % 6], markersize=4)
    points = sorted({row["x"] for row in rows})
    axes.set(xscale="log", yscale="log", xlabel=rows[0]["case"], ylabel="seconds")
    axes.set_xticks(points, [f"{x:,}" for x in points])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return len(points) > 1
