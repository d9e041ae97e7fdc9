"""What a training and an evaluation left in their output folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.files import read_json

from ..data.labelling import recorded
from ..errors import UserError
from ..folds.cases import ScoredCase, scored_cases


@dataclass(frozen=True)
class Results:
    """Content of an output folder; what is missing is empty.

    Args:
        metrics: the content of ``metrics.json``.
        scores: the rows of ``metrics.csv``.
        history: the rows of ``history.csv``.
        dataset: the content of ``dataset.json``.
        cases: the cases that were scored: those of the test, or those held out of a fold.
        runs: the content of ``training.json`` and ``evaluation.json``, by "training" and "evaluation".
    """

    metrics: dict[str, Any]
    scores: list[dict[str, str]]
    history: list[dict[str, str]]
    dataset: dict[str, Any]
    cases: list[ScoredCase]
    runs: dict[str, dict[str, Any]]

    @property
    def label_names(self) -> list[str]:
        """Names of the labels from 1 on, from the data set or else from the scores."""
        labels = self.dataset.get("labels", {})
        return [labels[number] for number in sorted(labels, key=int) if number != "0"] or list(
            self.metrics.get("classes", {})
        )

    @property
    def classes(self) -> dict[str, tuple[int, ...]]:
        """The labels of each class that is scored: its number, or those of a region."""
        labelling = recorded(self.dataset)
        numbered = {name: (number,) for number, name in enumerate(self.label_names, start=1)}
        return dict(labelling.regions) or {n: v for n, v in numbered.items() if v != (labelling.ignore,)}

    @property
    def ignore(self) -> int | None:
        """The label of voxels that are not scored, or None."""
        return recorded(self.dataset).ignore

    @property
    def flat(self) -> bool:
        """Whether the cases are pictures: their rows have no volume."""
        return bool(self.scores) and not any(row.get("truth_ml") for row in self.scores)


def read_results(output_dir: Path, dataset_dir: Path | None) -> Results:
    """Read an output folder and the data set that it belongs to.

    Args:
        output_dir: folder with ``metrics.json``, ``metrics.csv``, ``history.csv``, ``training.json``,
            ``evaluation.json`` and ``predictions``, or some of them.
        dataset_dir: folder with ``dataset.json`` and ``datalist.json``, or None.

    Raises:
        UserError: if there is nothing to report, or ``metrics.json`` does not name its scores.
        ValueError: if a file is not what its name says.
    """
    metrics, history = output_dir / "metrics.json", output_dir / "history.csv"
    if not metrics.is_file() and not history.is_file():
        raise UserError(
            f"{output_dir} has neither metrics.json nor history.csv: give the output_dir of a training or an evaluation"
        )
    if dataset_dir is not None and not (dataset_dir / "datalist.json").is_file():
        raise UserError(f"{dataset_dir} has no datalist.json: give the dataset_dir of the evaluation")
    summary = read_json(metrics) if metrics.is_file() else {}
    if summary and "scores" not in summary:
        raise UserError(f"{metrics} does not name its scores: evaluate again with this version of scanseg")
    runs = {
        name: read_json(output_dir / f"{name}.json")
        for name in ("training", "evaluation")
        if (output_dir / f"{name}.json").is_file()
    }
    record, cases = {}, []
    if dataset_dir is not None:
        fold, lists = _fold(runs), read_json(dataset_dir / "datalist.json")
        cases = scored_cases(output_dir, dataset_dir, fold) if fold is not None or "test" in lists else []
        record = read_json(path) if (path := dataset_dir / "dataset.json").is_file() else {}
    return Results(
        metrics=summary,
        scores=read_csv(output_dir / "metrics.csv"),
        history=read_csv(history),
        dataset=record,
        cases=cases,
        runs=runs,
    )


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _fold(runs: Mapping[str, Any]) -> int | None:
    """The fold whose held-out cases the evaluation scored; None if it scored the test cases."""
    changes = (runs.get("evaluation", {}).get("command") or {}).get("changes", [])
    return next((change["used"] for change in changes if change["id"] == "fold"), None)
