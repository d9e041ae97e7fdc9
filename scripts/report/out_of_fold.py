"""The results of all folds of a cross-validation, for the report."""

from __future__ import annotations

import json
from pathlib import Path

from components.files import read_json, write_text

from ..tables import aligned
from .results import Results, read_csv
from .scores import Column

FOLDER = "out_of_fold"
"""Folder of the output_dir for the results over all folds."""


def fold_results(output_dir: Path, dataset_dir: Path | None) -> Results:
    """Gather the folds of an output_dir as the results of one evaluation, written to its folder ``out_of_fold``.

    Args:
        output_dir: folder of ``fold_0``, ….
        dataset_dir: the data set, for the pictures and to check the cases; None for neither.

    Raises:
        UserError: as of :func:`scripts.folds.scores.read_folds`.
    """
    from ..folds.scores import read_folds  # with the metrics, which need PyTorch

    scores = read_folds(output_dir, dataset_dir)
    summary, folder = scores.summary, output_dir / FOLDER
    write_text(folder / "metrics.csv", scores.table.csv())
    write_text(folder / "metrics.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    record = dataset_dir / "dataset.json" if dataset_dir is not None else None
    return Results(
        metrics=summary,
        scores=read_csv(folder / "metrics.csv"),
        history=[],
        dataset=read_json(record) if record is not None and record.is_file() else {},
        cases=[] if dataset_dir is None else scores.cases(dataset_dir),
        runs={},
    )


def fold_table(results: Results, shown: list[Column]) -> str:
    """Strict means of each fold, over all cases, and how much the folds differ, as aligned lines of text.

    Args:
        results: of :func:`fold_results`.
        shown: columns to show.
    """
    metrics = results.metrics
    rows = [
        [number, str(found["cases"]), *(column.text(found[column.key]) for column in shown)]
        for number, found in metrics["folds"].items()
    ]
    rows.append(["all cases", str(metrics["cases"]), *(c.text(metrics["mean"]["strict"][c.key]) for c in shown)])
    rows.append(["deviation", "", *(column.text(metrics["deviation"][column.key]) for column in shown)])
    return aligned(rows, ["Fold", "cases", *(column.heading for column in shown)])
