"""From the rows of a measurement to the tables of the page."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.bench.session import Row
from scripts.bench.tables import by, comparisons, epoch, failures, kernels, memory, pipeline, timed
from scripts.tables import Table, span

from .bars import BARS
from .processes import COUNTS, LINKS, efficiency
from .works import GROUPS, WORKS

Record = Mapping[str, Any]
"""Content of ``bench.json``: ``machine``, ``settings`` and ``rows``."""

TITLES = {
    "limits": "The machine",
    "bars": "Bars",
    "kernels": "Operators",
    "networks": "Networks",
    "pipeline": "Data of the trainings",
    "epoch": "An epoch",
    "inference": "Inference of a whole image",
    "scaling": "Growth",
    "processes": "Many processes",
    "memory": "Memory",
}


def tables(record: Record) -> dict[str, list[Table]]:
    """All tables of a measurement, by group: the machine, the bars, which are the summary, and the others.

    Args:
        record: content of ``bench.json``.
    """
    found = {"limits": [limits(record)]}
    if (summary := bars(record)).rows:
        found["bars"] = [summary]
    for group in GROUPS:
        rows = [row for row in record["rows"] if row["work"].partition("/")[0] == group]
        if rows:
            found[group] = list(MAKERS[group](rows, record))
    return found


def limits(record: Record) -> Table:
    """What the machine is and what it can do."""
    machine, settings = record["machine"], record["settings"]
    cpu, rates = machine["cpu"], machine["rates"]
    memory = "" if cpu["memory_bytes"] is None else f", {cpu['memory_bytes'] / 1e9:.0f} GB of memory"
    lines = [
        ("processor", f"{cpu['model']}, {cpu['cores']} cores{memory}"),
        ("flags", " ".join(cpu["flags"]) or "none that matter"),
        ("AMX", "yes" if cpu["amx"] else "no"),
        ("device", machine["device"]),
        ("threads", str(settings["threads"])),
        ("matrix product, float32", _rate(rates["matrix_float32"], "GFLOP/s")),
        ("matrix product, bfloat16", _rate(rates["matrix_bfloat16"], "GFLOP/s")),
        ("3D convolution, float32", _rate(rates["conv3d_float32"], "GFLOP/s")),
        ("copy in memory, read and write", _rate(rates["copy"], "GB/s")),
        ("back ends", ", ".join(f"{op}: {name}" for op, name in machine["backends"].items())),
        ("versions", ", ".join(f"{name} {version}" for name, version in machine["versions"].items())),
    ]
    return Table("Machine", "", ("what", "measured or found"), lines)


def networks(rows: Sequence[Row], record: Record) -> Iterator[Table]:
    """Networks or inferences beside their peers; and label maps of two precisions."""
    abouts = {name: work.about for name, work in WORKS.items()}
    rate = record["machine"]["rates"]["matrix_float32"]
    yield from comparisons([row for row in rows if "dice" not in row], rate, abouts)
    if agreements := [row for row in rows if "dice" in row]:
        yield _agreement(agreements)


def scaling(rows: Sequence[Row], record: Record) -> Iterator[Table]:
    """Curves, with their exponent."""
    for work, mine in by(rows, "work").items():
        lines = []
        for name, points in by(timed(mine), "name").items():
            xs, ys = curve(points)
            slope = f"{np.polyfit(np.log(xs), np.log(ys), 1)[0]:.2f}" if len(xs) > 1 else ""
            lines.append((name, slope, ", ".join(f"{x:,}: {span(y)}" for x, y in zip(xs, ys, strict=True))))
        axis = mine[0]["case"]
        about = f"Time over {axis}; the exponent is the slope in logarithms of both."
        yield Table(work.partition("/")[2], about, ("name", "exponent", axis), lines, failures(mine))


def processes(rows: Sequence[Row], record: Record) -> Iterator[Table]:
    """What is exchanged in a step, and the part of an ideal speed that is left."""
    lines = []
    for row in timed(rows):
        step, sent = statistics.median(row["seconds"]), row["gradient_bytes"] + row["buffer_bytes"]
        for link, rate in LINKS.items():
            left = (f"{100 * efficiency(step, sent, count, rate):.1f} %" for count in COUNTS)
            lines.append((f"{row['name']}, {row['case']}", span(step), f"{sent / 1e6:.0f} MB", link, *left))
    about = (
        "Gradients and buffers are exchanged in each step, whatever the batch; a Dice over all adds 2 numbers a class. "
        "The parts of the ideal speed are worked out from the measured step and bytes for a ring, as if nothing were "
        "sent while the network computes: a lower bound, without delays. A faster device or a smaller batch makes the "
        "step shorter and the part smaller: measure with --device cuda there."
    )
    columns = ("training", "step of one", "exchanged", "link of each", *(f"{count} processes" for count in COUNTS))
    yield Table("processes", about, columns, lines, failures(rows))


def bars(record: Record) -> Table:
    """Each bar whose work was measured with its value, the bar, the aim and whether it is met."""
    measured = {row["work"] for row in record["rows"]}
    lines = []
    for bar in (bar for bar in BARS if bar.work in measured):
        value = bar.value(record["rows"], record["machine"])
        shown = "—" if value is None else f"{value:.2f}{bar.unit}"
        verdict = bar.verdict(value, record)
        lines.append((bar.title, shown, f"≤ {bar.bar:g}{bar.unit}", f"≤ {bar.aim:g}{bar.unit}", verdict))
    return Table("bars", "", ("what", "measured", "bar", "aim", "verdict"), lines)


def curve(points: Sequence[Row]) -> tuple[list[float], list[float]]:
    """Places and median seconds of the rows of one curve."""
    return [row["x"] for row in points], [statistics.median(row["seconds"]) for row in points]


MAKERS: dict[str, Callable[[Sequence[Row], Record], Iterator[Table]]] = {
    "kernels": lambda rows, record: kernels(rows, record["machine"]["rates"]["copy"]),
    "networks": networks,
    "pipeline": lambda rows, record: pipeline(rows),
    "epoch": lambda rows, record: epoch(rows),
    "inference": networks,
    "scaling": scaling,
    "processes": processes,
    "memory": lambda rows, record: memory(rows),
}


def _agreement(rows: Sequence[Row]) -> Table:
    lines = [
        (
            row["case"],
            f"{100 * row['equal_voxels'] / row['voxels']:.3f} %",
            f"{100 * row['equal_foreground_voxels'] / row['foreground_voxels']:.3f} %"
            if row["foreground_voxels"]
            else "",
            " ".join("—" if value is None else f"{value:.4f}" for value in row["dice"].values()),
        )
        for row in rows
    ]
    columns = ("label maps", "equal voxels", "equal where either has a label", "Dice of each label")
    return Table("agreement", "bfloat16 beside float32, with the weights given.", columns, lines)


def _rate(value: float | None, unit: str) -> str:
    return "not available" if value is None else f"{value / 1e9:.1f} {unit}"
