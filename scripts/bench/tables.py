"""From the rows of a measurement to tables: all numbers are computed here, from the raw times."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from ..tables import Table, digits, gigabytes, span
from .session import Row
from .timing import median_ratio

SHARE = (
    "Of the matrix rate: operations of the network's convolutions and matrix products in its time, beside those of a "
    "matrix product in float32; a training step counts as three forward passes. It may exceed 100 % where a kernel "
    "saves operations."
)


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """All tables of a measurement.

    Args:
        rows: each with its ``work``.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["work"].partition("/")[0], []).append(row)
    for group, mine in groups.items():
        yield from MAKERS[group](mine)


def kernels(rows: Sequence[Row], rate: float | None = None) -> Iterator[Table]:
    """Each operator: back ends beside the default one, the definition, and what the memory allows.

    Args:
        rows: of the group.
        rate: bytes a second of a copy in memory, if it was measured.
    """
    for work, mine in by(rows, "work").items():
        lines = []
        for case, same in by(timed(mine), "case").items():
            default = next((row for row in same if row["ours"]), None)
            naive = next((row for row in same if row["name"] == "naive"), None)
            for row in same:
                median = statistics.median(row["seconds"])
                name = f"{row['name']} (default)" if row["ours"] else row["name"]
                limit = (digits(median / (row["bytes"] / rate)),) if rate else ()
                lines.append((case, name, span(median), times(row, default), times(naive, row), *limit))
        columns = ("size", "back end", "time", "its time / default's", "naive's time / its")
        about = ""
        if rate:
            columns = (*columns, "its time / memory's")
            about = "Memory's time: one read and one write of the tensors at the speed of a copy."
        yield Table(work.partition("/")[2], about, columns, lines, failures(mine))


def comparisons(
    rows: Sequence[Row], rate: float | None = None, abouts: Mapping[str, str] | None = None
) -> Iterator[Table]:
    """Networks or inferences: times, ours over theirs, share of the matrix rate, and memory.

    Args:
        rows: of the group.
        rate: operations a second of a matrix product, if it was measured.
        abouts: what each work is.
    """
    for work, mine in by(rows, "work").items():
        several = len({row["name"] for row in mine}) > 1
        names = list(dict.fromkeys(row["name"] for row in mine if row["ours"] and several))
        lines, memory = [], any("peak_bytes" in row for row in mine)
        counted = rate is not None and any("operations" in row for row in mine)
        for case, same in by(timed(mine), "case").items():
            ours = {row["name"]: row for row in same if row["ours"]}
            for row in same:
                ratios = ("" if row["name"] == name else times(ours.get(name), row) for name in names)
                median = statistics.median(row["seconds"])
                share = (_share(row.get("operations"), median, rate),) if counted else ()
                peak = (gigabytes(row.get("peak_bytes")),) if memory else ()
                lines.append((case, row["name"], span(median), *ratios, *share, *peak))
        ratio_columns = (f"{name} / it" for name in names)
        share_column = ("of the matrix rate",) if counted else ()
        memory_column = ("peak memory",) if memory else ()
        columns = ("work", "network", "time", *ratio_columns, *share_column, *memory_column)
        about = (abouts or {}).get(work, "")
        if counted:
            about = f"{about}. {SHARE}" if about else SHARE
        yield Table(work.partition("/")[2], about, columns, lines, failures(mine))


def pipeline(rows: Sequence[Row]) -> Iterator[Table]:
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
                str(row["batch"]),
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
    yield Table("pipeline", about, columns, lines, failures(rows))


def epoch(rows: Sequence[Row]) -> Iterator[Table]:
    """Epochs, with their settings."""
    lines = []
    for row in timed(rows):
        settings = " ".join(
            f"--{key} {value}" for key, value in row["overrides"].items() if key not in ("device", "seed")
        )
        lines.append((row["case"], span(row["seconds"][0]), gigabytes(row["peak_bytes"]), settings))
    about = (
        "`monai.bundle run training` on the sample, with reading the config and writing the checkpoint; the memory is "
        "that of the trainer without the loader's workers."
    )
    yield Table("epoch", about, ("bundle", "time", "peak memory", "settings"), lines, failures(rows))


def memory(rows: Sequence[Row]) -> Iterator[Table]:
    """Peaks, one column a mode."""
    modes = list(by(rows, "mode"))
    lines = []
    for case, same in by(rows, "case").items():
        for name, of_batch in by(same, "name").items():
            peaks = {row["mode"]: gigabytes(row["peak_bytes"]) for row in of_batch if "failed" not in row}
            lines.append((case, name.removeprefix("batch "), *(peaks.get(mode, "—") for mode in modes)))
    about = (
        "Peak of the resident memory of a fresh process that makes the network and runs it once: Python, PyTorch and "
        "everything else included (on CUDA: what PyTorch allocated on the device)."
    )
    failed = [{**row, "name": f"{row['name']}, {row['mode']}"} for row in rows if "failed" in row]
    yield Table("memory", about, ("network, patch", "batch", *modes), lines, failures(failed))


MAKERS: dict[str, Callable[[Sequence[Row]], Iterator[Table]]] = {
    "kernels": kernels,
    "networks": comparisons,
    "memory": memory,
    "data": pipeline,
    "epoch": epoch,
    "image": comparisons,
}


def by(rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    """Rows by an entry."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


def timed(rows: Sequence[Row]) -> list[Row]:
    """Those that could be timed."""
    return [row for row in rows if "seconds" in row and "failed" not in row]


def failures(rows: Sequence[Row]) -> list[str]:
    """What could not be measured, and why."""
    return [f"{row['name']} ({row['case']}): {row['failed']}" for row in rows if "failed" in row]


def times(first: Row | None, second: Row | None) -> str:
    """Ratio of two alternatives as text."""
    return "" if first is None or second is None else digits(median_ratio(first["seconds"], second["seconds"]))


def _share(operations: int | None, seconds: float, rate: float) -> str:
    return "" if operations is None else f"{100 * operations / seconds / rate:.0f} %"
