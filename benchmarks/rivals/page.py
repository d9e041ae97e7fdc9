"""Tables and the picture of a comparison, and the page of the documentation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from components.files import replacing, write_text
from scripts.tables import Table

from ..plots import COLOURS
from .networks import DEFAULT, NNUNET, SHORT, rival
from .scores import columns
from .statistics import Interval, by_patient, compare, interval

Record = Mapping[str, Any]
TITLES = {"dice": "Dice", "nsd": "NSD at 1 mm", "hd95": "HD95 in mm", "pq": "panoptic quality"}
IMAGES = Path("images") / "accuracy"


def tables(record: Record) -> list[Table]:
    """The tables of a comparison: scores, classes, costs, differences."""
    found = _runs(record)
    instances = record["settings"]["instances"]
    first = columns(instances)[0]
    result = [_scores(record, found)]
    if not instances:
        result.append(_classes(found))
    result += [_costs(found), *_differences(found, first, "pictures" if instances else "patients")]
    failed = [f"{rival(r['network']).title}, seed {r['seed']}: {r['failed']}" for r in record["runs"] if r["failed"]]
    return result if not failed else [*result, Table("Failed", "", (), (), failed)]


def _runs(record: Record) -> dict[str, list[Mapping[str, Any]]]:
    """Finished trainings by network, in the order of the networks."""
    runs = [run for run in record["runs"] if not run["failed"]]
    names = {run["network"] for run in runs}
    order = [*(name for name in DEFAULT if name in names), *sorted(names - set(DEFAULT))]
    return {name: [run for run in runs if run["network"] == name] for name in order}


def _rows(runs: Sequence[Mapping[str, Any]], name: str | None = None) -> list[Mapping[str, Any]]:
    return [row for run in runs for row in run["scores"] if name is None or row.get("class") == name]


def _scores(record: Record, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    names = columns(record["settings"]["instances"])
    lines = []
    for name, runs in found.items():
        cells = [shown(interval(list(by_patient(_rows(runs), column).values())), column) for column in names]
        lines.append((rival(name).title, str(len(runs)), *cells))
    unit = "pictures" if record["settings"]["instances"] else "patients, each the mean of its classes"
    about = f"Mean over the test {unit} and the seeds, with the bootstrap interval of 95 % over them."
    return Table("Scores", about, ("network", "seeds", *(_title(column) for column in names)), lines)


def _classes(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    names = list(dict.fromkeys(row["class"] for runs in found.values() for row in _rows(runs)))
    lines = []
    for network, runs in found.items():
        for name in names:
            rows = _rows(runs, name)
            cells = [shown(interval(list(by_patient(rows, c).values())), c) for c in columns(False)]
            lines.append((rival(network).title, name, *cells))
    return Table("Classes", "", ("network", "class", *(_title(column) for column in columns(False))), lines)


def _costs(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    lines = []
    for name, runs in found.items():
        peaks = [run["peak_bytes"] for run in runs if run["peak_bytes"]]
        lines.append(
            (
                rival(name).title,
                rival(name).optimiser + (f", PyTorch {runs[0]['torch']}" if "torch" in runs[0] else ""),
                ", ".join(f"{run['iterations']:,}" for run in runs),
                ", ".join(f"{run['cpu_seconds']:.0f}" for run in runs),
                ", ".join(f"{run['convolution_rate'] / 1e9:.0f}" if "convolution_rate" in run else "—" for run in runs),
                f"{max(peaks) / 1e9:.1f} GB" if peaks else "—",
                f"{runs[0]['parameters'] / 1e6:.1f}",
            )
        )
    headings = ("network", "optimiser", "iterations", "CPU seconds", "GFLOP/s", "peak memory", "parameters, million")
    about = (
        "Iterations and CPU seconds of each seed. GFLOP/s: the speed of the processor, that of a 3D convolution in "
        "float32 before the training; on one that is twice as fast, a network has more iterations in the same seconds."
    )
    return Table("Costs", about, headings, lines)


def _differences(found: Mapping[str, Sequence[Mapping[str, Any]]], column: str, unit: str) -> Iterator[Table]:
    ours = [name for name in found if rival(name).ours]
    others = [name for name in found if not rival(name).ours]
    if not ours or not others:
        return
    scores = {name: by_patient(_rows(runs), column) for name, runs in found.items()}
    lines = []
    for name in ours:
        cells = []
        for other in others:
            result = compare(scores[name], scores[other])
            p = "" if result.p is None else f" (p {'< 0.001' if result.p < 0.001 else f'{result.p:.3f}'})"
            cells.append(f"{result.difference:+.3f}{p}")
        lines.append((rival(name).title, *cells))
    about = (
        f"{_title(column)}, ours minus the rival's: mean over the {unit}, and Wilcoxon's signed-rank test over them, "
        f"two-sided, not corrected for the number of comparisons. Below 0 the rival is better."
    )
    yield Table("Differences", about, ("", *(rival(name).title for name in others)), lines)


def shown(value: Interval, column: str) -> str:
    """A mean with its interval.

    Example:
        >>> shown(Interval(0.81234, 0.8, 0.825), "dice"), shown(Interval(2.345), "hd95")
        ('0.812 (0.800 to 0.825)', '2.35')
    """
    if math.isnan(value.mean):
        return "—"
    digits = 2 if column == "hd95" else 3
    text = f"{value.mean:.{digits}f}"
    return text if value.low is None else f"{text} ({value.low:.{digits}f} to {value.high:.{digits}f})"


def _title(column: str) -> str:
    return TITLES.get(column) or f"F1 at IoU {column.removeprefix('f1_')}"


def plot(record: Record, path: Path) -> None:
    """Write the picture: validation Dice over CPU minutes, one line a network, the mean of its seeds.

    A network has one colour with both of its optimisers.
    """
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    colours: dict[str, str] = {}
    for name, runs in _runs(record).items():
        colour = colours.setdefault(name.removesuffix(SHORT), COLOURS[len(colours) % len(COLOURS)])
        pairs = [run["validations"] for run in runs if run["validations"]]
        if not pairs:
            continue
        points = list(zip(*pairs, strict=False))  # the seeds' first validations, second ones, …
        minutes = [sum(p[1] for p in point) / len(point) / 60 for point in points]
        dice = [sum(p[2] for p in point) / len(point) for point in points]
        style = ":" if name == NNUNET else "--" if name.endswith(SHORT) else "-"
        title = rival(name).title + (" (its own estimate)" if name == NNUNET else "")
        axes.plot(minutes, dice, style, label=title, color=colour, marker="o", markersize=4)
    axes.set(xlabel="CPU minutes of training", ylabel="validation Dice", xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    with replacing(path) as partial:
        figure.savefig(partial, dpi=150, metadata={"Software": None})


def show(record: Record) -> None:
    """Print the tables."""
    for table in tables(record):
        print(table.text(), end="\n\n")


def write_docs(records: Sequence[Record], path: Path) -> None:
    """Write the page of one or several comparisons; the pictures go to ``images/accuracy`` beside it."""
    parts = []
    for record in records:
        minutes = f"{record['settings']['cpu_seconds'] / 60:g}"
        picture = f"{record['about']['name']}_{minutes}.png"
        plot(record, path.parent / IMAGES / picture)
        parts.append(
            {
                **record,
                "minutes": minutes,
                "tables": tables(record),
                "picture": f"{IMAGES.as_posix()}/{picture}",
                "command": command(record),
            }
        )
    environment = jinja2.Environment(  # noqa: S701 - Markdown
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    template = Path(__file__).with_name("page.md").read_text(encoding="utf-8")
    write_text(path, environment.from_string(template).render(parts=parts))


def command(record: Record) -> str:
    """The command that repeats a comparison, with places as names."""
    settings, runs = record["settings"], record["runs"]
    networks = list(_runs(record))
    words = ["python -m benchmarks rivals --data DATA --out OUT"]
    words.append(f"--iterations {settings['iterations']} --cpu_seconds {settings['cpu_seconds']:g}")
    words.append(f"--networks {','.join(networks)} --seeds {max((run['seed'] for run in runs), default=0) + 1}")
    if NNUNET in networks:
        words.append("--nnunet FOLDER/bin/python")
    for name in ("bundle", "batch_size", "validation_cases"):
        if settings[name]:
            words.append(f"--{name} {settings[name]}")
    words.append(f"--validations {settings['validations']} --threads {settings['threads']}")
    if settings["instances"]:
        words.append("--instances")
    return " \\\n    ".join(words)
