"""What was measured and chosen, and what to type next, for the terminal and for the documentation of the bundle."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from components import __version__

from ..run.monai_command import from_here
from ..tables import aligned
from .configurations import previous_stage
from .own_data import RAW_LAYOUT
from .plan import Choice, Plan
from .summary import Measurement


@dataclass(frozen=True)
class NewBundle:
    """A new bundle, for its description.

    Args:
        name: its name.
        folder: where it will be.
        base: name of the bundle that it is derived from.
        dataset_dir: its data.
        data: the folder that the user gave.
        layout: of this folder, in words.
        split: how the cases were divided, in words.
        number: number of items of each list.
        configs: names of its config files.
        measurement: what was measured.
        plan: what was chosen.
        notes: what else to know.
        folds: number of folds that the training cases are divided into; 0 for none.
    """

    name: str
    folder: Path
    base: str
    dataset_dir: Path
    data: Path
    layout: str
    split: str
    number: Mapping[str, int]
    configs: Sequence[str]
    measurement: Measurement
    plan: Plan
    notes: Sequence[str] = ()
    folds: int = 0

    @property
    def network(self) -> str:
        """Name of the network."""
        return "MSVM-UNet" if self.plan.network == "msvm" else "xLSTM-UNet"


def measured(found: Measurement) -> list[Choice]:
    """What was measured, as rows; the third part is empty."""
    shapes, spacings = np.asarray(found.shapes), np.asarray(found.spacings)
    volumes = found.spatial_dims == 3
    axes = " (inferior–superior × anterior–posterior × right–left)" if volumes else " (height × width)"
    rows = [
        ("images", f"{'volumes' if volumes else 'pictures'} of {_channels(found.channels)}"),
        ("modality", found.modality or "not stated (if it is CT, say --modality CT)"),
        ("size", f"{_range(shapes, 'voxels' if volumes else 'pixels')}{axes}"),
    ]
    if volumes:
        rows.append(("spacing", _range(spacings, "mm")))
        directions = ", ".join(f"{name} {count}" for name, count in sorted(found.orientations.items()))
        rows.append(("orientation", f"{directions}; all are turned to the same"))
    if found.kept < 0.999:
        rows.append(("margins", f"{100 * (1 - found.kept):.0f} % of the median image is empty margin"))
    if found.intensities is not None:
        seen = found.intensities
        rows.append(
            (
                "intensities",
                f"of what is labelled: percentiles 0.5 and 99.5 are {seen.low:g} and {seen.high:g}, mean "
                f"{seen.mean:.4g}, standard deviation {seen.sd:.4g}",
            )
        )
    if found.empty:
        shown = ", ".join(found.empty[:5]) + (", …" if len(found.empty) > 5 else "")
        rows.append(("without label", f"{len(found.empty)} cases are background only: {shown}"))
    return [Choice(name, value, "") for name, value in rows]


def commands(bundle: NewBundle) -> dict[str, str]:
    """What to type next, by what it does."""
    folder, output = _path(bundle.folder), _path(bundle.folder / "output")
    dataset = _path(bundle.dataset_dir)

    def run(run_id: str, config: str) -> str:
        return (
            f"python -m monai.bundle run {run_id} --bundle_root {folder} "
            f"--config_file {_path(bundle.folder / 'configs' / config)} --dataset_dir {dataset} --output_dir {output}"
        )

    places = f"{folder} --dataset_dir {dataset} --output_dir {output}"
    short = f"scanseg run training {places} --config short"
    if bundle.folds:
        tested = "evaluate all networks together on the test cases"
        names = " --nnunet_names" if bundle.layout == RAW_LAYOUT else ""
        training = short if "short.json" in bundle.configs else f"scanseg run training {places}"
        before = _commands_before(bundle, dataset)
        return {
            "check the data": f"scanseg data check {dataset}",
            **before,
            "train each fold and score the cases held out of it": f"{training} --folds all",
            "report over the folds": f"scanseg report --output_dir {output} --dataset_dir {dataset}",
            **({tested: f"scanseg run evaluating {places} --folds all"} if bundle.number["test"] else {}),
            "segment": f"scanseg predict --bundle {folder} --folds all --input SCANS --output LABELS{names}",
        }
    return {
        "check the data": f"scanseg data check {dataset}",
        **({"train within the budget": short} if "short.json" in bundle.configs else {}),
        "train" if "short.json" not in bundle.configs else "train by the whole recipe": run("training", "train.json"),
        "evaluate on the test cases": run("evaluating", "evaluate.json"),
        "segment": run("inferring", "inference.json"),
        "report": f"scanseg report --output_dir {output} --dataset_dir {dataset}",
    }


def _commands_before(bundle: NewBundle, dataset: str) -> dict[str, str]:
    """For a cascade the commands of its previous stage, whose label maps it needs."""
    stage = previous_stage(bundle.name, bundle.plan.configuration)
    if not stage:
        return {}
    folder = bundle.folder.with_name(stage)
    places = f"{_path(folder)} --dataset_dir {dataset} --output_dir {_path(folder / 'output')} --folds all"
    tested = {f"label maps of the test cases by {stage}": f"scanseg run inferring {places}"}
    return {
        f"label maps of the training cases by {stage}: its training": f"scanseg run training {places}",
        **(tested if bundle.number["test"] else {}),
    }


def text(bundle: NewBundle) -> str:
    """All of it for the terminal."""
    number = ", ".join(f"{count} {part}" for part, count in bundle.number.items())
    lines = [
        f"{bundle.folder}: {bundle.network} for {bundle.data}, derived from {bundle.base}",
        "",
        f"Measured ({bundle.layout}, {bundle.measurement.cases} cases; items: {number})",
        *_rows(measured(bundle.measurement)),
        "",
        *_class_lines(bundle.measurement),
        "",
        "Chosen",
        *_rows(bundle.plan.choices),
        "",
        f"Division: {bundle.split}",
        *(f"Note: {note}" for note in bundle.notes),
        "",
        "Next",
    ]
    for what, command in commands(bundle).items():
        lines += [f"  # {what}", f"  {command}"]
    return "\n".join(lines)


def readme(bundle: NewBundle) -> str:
    """The documentation of the bundle, in Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown, read by people
    )
    content: dict[str, Any] = {
        "bundle": bundle,
        "measured": measured(bundle.measurement),
        "commands": commands(bundle),
        "version": __version__,
    }
    return environment.get_template("readme.md").render(content)


def _rows(rows: Sequence[Choice]) -> list[str]:
    cells = [(row.name, row.value + (f"  ({row.why})" if row.why else "")) for row in rows]
    return [aligned(cells, indent="  ")]


def _class_lines(found: Measurement) -> list[str]:
    if not found.counts:
        return [f"Classes: {', '.join(found.classes[1:])}, made of the instances"]
    unit = "voxels" if found.spatial_dims == 3 else "pixels"
    rows = [(found.numbers[name], name, f"{cases:,}", f"{voxels:,}") for name, (cases, voxels) in found.counts.items()]
    return [aligned(rows, ("", "Class", "cases", unit))]


def _channels(names: Sequence[str]) -> str:
    return f"{len(names)} channel{'s' * (len(names) > 1)}: {', '.join(names)}"


def _range(values: np.ndarray, unit: str) -> str:
    def shown(row: np.ndarray) -> str:
        return " × ".join(f"{value:.4g}" for value in row)

    low, middle, high = values.min(axis=0), np.median(values, axis=0), values.max(axis=0)
    if np.array_equal(low, high):
        return f"{shown(middle)} {unit} in all cases"
    return f"median {shown(middle)} {unit}, from {shown(low)} to {shown(high)}"


def _path(path: Path) -> str:
    return shlex.quote(str(from_here(path)))
