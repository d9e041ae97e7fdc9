"""Curves of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .charts import Chart, Mark, chart

TITLES = {"loss": "Training loss", "learning_rate": "Learning rate", "skipped_steps": "Steps left out"}
FIXED = ("epoch", "loss", "learning_rate", "seconds", "skipped_steps")


def curves(history: Sequence[Mapping[str, str]]) -> list[Chart]:
    """One curve for the loss, each validation metric and the learning rate, over the epochs.

    Args:
        history: rows of ``history.csv``; empty fields are left out.
    """
    columns = list(history[0]) if history else []
    metrics = [name for name in columns if name not in FIXED]
    return [
        _curve(name, points, marked=name in metrics)
        for name in ("loss", *metrics, "learning_rate", "skipped_steps")
        if (points := [(int(row["epoch"]), float(row[name])) for row in history if row.get(name)])
    ]


def heading(name: str) -> str:
    """Name of a column of ``history.csv`` for readers."""
    return TITLES.get(name, f"Validation: {name.removeprefix('val_').replace('_', ' ')}")


def _curve(name: str, points: list[tuple[int, float]], marked: bool) -> Chart:
    title = heading(name)
    first, last = points[0], points[-1]
    low, high = min(v for _, v in points), max(points, key=lambda point: point[1])
    description = (
        f"{title}: {first[1]:.4g} at epoch {first[0]}, {last[1]:.4g} at epoch {last[0]}, "
        f"lowest {low:.4g}, highest {high[1]:.4g}."
    )
    marks = [
        Mark(
            epoch,
            value,
            f"epoch {epoch}: {value:.4g}{', the highest' if marked and (epoch, value) == high else ''}",
            best=marked and (epoch, value) == high,
        )
        for epoch, value in points
    ]
    return chart(title, description, marks, ("epoch", title), whole=True)
