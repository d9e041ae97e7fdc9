"""From the rows of a measurement to tables: all numbers are computed here, from the raw times."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..tables import Table, digits, gigabytes, span
from .bars import BARS
from .processes import COUNTS, LINKS, efficiency
from .session import Row
from .timing import median_ratio
from .works import GROUPS, WORKS

Record = Mapping[str, Any]
"""Content of ``bench.json``: ``machine``, ``settings`` and ``rows``."""

TITLES = {
    "limits": "The machine",
    "kernels": "Operators",
    "networks": "Networks",
    "pipeline": "Data of the trainings",
    "epoch": "An epoch",
    "inference": "Inference of a whole image",
    "scaling": "Growth",
    "processes": "Many processes",
    "memory": "Memory",
    "bars": "Bars",
}

SHARE = (
    "Of the matrix rate: operations of the network's convolutions and matrix products in its time, beside those of a "
    "matrix product in float32; a training step counts as three forward passes. It may exceed 100 % where a kernel "
    "saves operations."
)


def tables(record: Record) -> dict[str, list[Table]]:
    """All tables of a measurement, by group: the machine, the bars, which are the summary, and the others.

    Args:
        record: content of ``bench.json``.
    """
    found = {"limits": [limits(record)]}
    for group in sorted(GROUPS, key=lambda name: name != "bars"):
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


def kernels(rows: Sequence[Row], record: Record) -> Iterator[Table]:
    """Each operator: back ends beside the default one, the definition, and what the memory allows."""
    rate = record["machine"]["rates"]["copy"]
    for work, mine in _by(rows, "work").items():
        lines = []
        for case, same in _by(_timed(mine), "case").items():
            default = next((row for row in same if row["ours"]), None)
            naive = next((row for row in same if row["name"] == "naive"), None)
            for row in same:
                median = statistics.median(row["seconds"])
                least = median / (row["bytes"] / rate) if rate else None
                name = f"{row['name']} (default)" if row["ours"] else row["name"]
                lines.append(
                    (case, name, span(median), _times(row, default), _times(naive, row), digits(least) if least else "")
                )
        columns = ("size", "back end", "time", "its time / default's", "naive's time / its", "its time / memory's")
        about = "Memory's time: one read and one write of the tensors at the speed of a copy."
        yield Table(work.partition("/")[2], about, columns, lines, _failures(mine))


def comparisons(rows: Sequence[Row], record: Record) -> Iterator[Table]:
    """Networks or inferences: times, ours over theirs, share of the matrix rate, and memory."""
    rate = record["machine"]["rates"]["matrix_float32"]
    for work, mine in _by(rows, "work").items():
        agreements = [row for row in mine if "dice" in row]
        mine = [row for row in mine if "dice" not in row]
        names = list(dict.fromkeys(row["name"] for row in mine if row["ours"]))
        lines, memory = [], any("peak_bytes" in row for row in mine)
        counted = rate is not None and any("operations" in row for row in mine)
        for case, same in _by(_timed(mine), "case").items():
            ours = {row["name"]: row for row in same if row["ours"]}
            for row in same:
                ratios = ("" if row["name"] == name else _times(ours.get(name), row) for name in names)
                median = statistics.median(row["seconds"])
                share = (_share(row.get("operations"), median, rate),) if counted else ()
                peak = (gigabytes(row.get("peak_bytes")),) if memory else ()
                lines.append((case, row["name"], span(median), *ratios, *share, *peak))
        ratio_columns = (f"{name} / it" for name in names)
        share_column = ("of the matrix rate",) if counted else ()
        memory_column = ("peak memory",) if memory else ()
        columns = ("work", "network", "time", *ratio_columns, *share_column, *memory_column)
        about = WORKS[work].about if work in WORKS else ""
        if counted:
            about = f"{about}. {SHARE}"
        yield Table(work.partition("/")[2], about, columns, lines, _failures(mine))
        if agreements:
            yield _agreement(agreements)


def pipeline(rows: Sequence[Row], record: Record) -> Iterator[Table]:
    """Data of the trainings."""
    lines = []
    for row in rows:
        if "failed" in row:
            continue
        wait, step = row["wait_seconds"][1:], row["step_seconds"][1:]
        rate = row["samples"] / row["sample_seconds"] if row["samples"] else None
        lines.append(
            (
                row["case"],
                row["name"],
                str(row["workers"]),
                str(row["overrides"]["batch_size"]),
                digits(rate) if rate else "",
                span(statistics.median(step)) if step else "",
                f"{100 * sum(wait) / (sum(wait) + sum(step)):.1f} %" if step else "",
                gigabytes(row["memory_bytes"]),
            )
        )
    columns = ("bundle", "cache", "workers", "batch", "samples / s", "step", "waiting", "memory")
    about = (
        "Samples: from the loader alone. Waiting: share of the training's loop, first iteration aside, between asking "
        "for a batch and having it. Memory: trainer and workers together, what they share counted once."
    )
    yield Table("pipeline", about, columns, lines, _failures(rows))


def epoch(rows: Sequence[Row], record: Record) -> Iterator[Table]:
    """Epochs, with their settings."""
    lines = []
    for row in _timed(rows):
        settings = " ".join(
            f"--{key} {value}" for key, value in row["overrides"].items() if key not in ("device", "seed")
        )
        lines.append((row["case"], span(row["seconds"][0]), gigabytes(row["peak_bytes"]), settings))
    about = (
        "`monai.bundle run training` on the sample, with reading the config and writing the checkpoint; the memory is "
        "that of the trainer without the loader's workers."
    )
    yield Table("epoch", about, ("bundle", "time", "peak memory", "settings"), lines, _failures(rows))


def scaling(rows: Sequence[Row], record: Record) -> Iterator[Table]:
    """Curves, with their exponent."""
    for work, mine in _by(rows, "work").items():
        lines = []
        for name, points in _by(_timed(mine), "name").items():
            xs, ys = curve(points)
            slope = f"{np.polyfit(np.log(xs), np.log(ys), 1)[0]:.2f}" if len(xs) > 1 else ""
            lines.append((name, slope, ", ".join(f"{x:,}: {span(y)}" for x, y in zip(xs, ys, strict=True))))
        axis = mine[0]["case"]
        about = f"Time over {axis}; the exponent is the slope in logarithms of both."
        yield Table(work.partition("/")[2], about, ("name", "exponent", axis), lines, _failures(mine))


def processes(rows: Sequence[Row], record: Record) -> Iterator[Table]:
    """What is exchanged in a step, and the part of an ideal speed that is left."""
    lines = []
    for row in _timed(rows):
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
    yield Table("processes", about, columns, lines, _failures(rows))


def memory(rows: Sequence[Row], record: Record) -> Iterator[Table]:
    """Peaks, one column a mode."""
    modes = list(_by(rows, "mode"))
    lines = []
    for case, same in _by(rows, "case").items():
        for name, of_batch in _by(same, "name").items():
            peaks = {row["mode"]: gigabytes(row["peak_bytes"]) for row in of_batch if "failed" not in row}
            lines.append((case, name.removeprefix("batch "), *(peaks.get(mode, "—") for mode in modes)))
    about = (
        "Peak of the resident memory of a fresh process that makes the network and runs it once: Python, PyTorch and "
        "everything else included (on CUDA: what PyTorch allocated on the device)."
    )
    failures = [{**row, "name": f"{row['name']}, {row['mode']}"} for row in rows if "failed" in row]
    yield Table("memory", about, ("network, patch", "batch", *modes), lines, _failures(failures))


def bars(rows: Sequence[Row], record: Record) -> Iterator[Table]:
    """Each bar with its value, the bar, the aim and whether it is met."""
    measured = {row["work"].partition("/")[2] for row in rows}
    lines = []
    for bar in (bar for bar in BARS if bar.work in measured):
        value = bar.value(rows, record["machine"])
        shown = "—" if value is None else f"{value:.2f}{bar.unit}"
        verdict = bar.verdict(value, record)
        lines.append((bar.title, shown, f"≤ {bar.bar:g}{bar.unit}", f"≤ {bar.aim:g}{bar.unit}", verdict))
    yield Table("bars", "", ("what", "measured", "bar", "aim", "verdict"), lines, _failures(rows))


def curve(points: Sequence[Row]) -> tuple[list[float], list[float]]:
    """Places and median seconds of the rows of one curve."""
    return [row["x"] for row in points], [statistics.median(row["seconds"]) for row in points]


MAKERS: dict[str, Callable[[Sequence[Row], Record], Iterator[Table]]] = {
    "kernels": kernels,
    "networks": comparisons,
    "pipeline": pipeline,
    "epoch": epoch,
    "inference": comparisons,
    "scaling": scaling,
    "processes": processes,
    "memory": memory,
    "bars": bars,
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


def _by(rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


def _timed(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "seconds" in row and "failed" not in row]


def _failures(rows: Sequence[Row]) -> list[str]:
    return [f"{row['name']} ({row['case']}): {row['failed']}" for row in rows if "failed" in row]


def _times(first: Row | None, second: Row | None) -> str:
    return "" if first is None or second is None else digits(median_ratio(first["seconds"], second["seconds"]))


def _share(operations: int | None, seconds: float, rate: float) -> str:
    return "" if operations is None else f"{100 * operations / seconds / rate:.0f} %"


def _rate(value: float | None, unit: str) -> str:
    return "not available" if value is None else f"{value / 1e9:.1f} {unit}"
