"""Writes what the evaluations of folds leave, and the data set that they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from components.metrics import ScoreTable, Scoring

AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])
Maps = tuple[np.ndarray, np.ndarray]
"""Ground truth and prediction of a case."""


def write_folds(
    data: Path,
    output: Path,
    folds: Sequence[Mapping[str, Maps]],
    classes: Sequence[str],
    scoring: Scoring | None = None,
) -> ScoreTable:
    """Write a data set with folds, their label maps and scores; gives the scores of all cases together."""
    data.mkdir(parents=True, exist_ok=True)
    items, whole = [], ScoreTable(classes, scoring)
    for number, cases in enumerate(folds):
        folder = output / f"fold_{number}"
        (folder / "predictions").mkdir(parents=True)
        table = ScoreTable(classes, scoring)
        for name, (truth, prediction) in cases.items():
            for path, array in (
                (data / f"{name}.nii.gz", truth.astype(np.float32)),
                (data / f"{name}_label.nii.gz", truth),
                (folder / "predictions" / f"{name}_pred.nii.gz", prediction),
            ):
                nib.save(nib.Nifti1Image(array, AFFINE), path)
            for each in (table, whole):
                each.add(name, prediction, truth, AFFINE.diagonal()[:3])
            items.append({"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz", "fold": number})
        (folder / "metrics.csv").write_text(table.csv())
        (folder / "metrics.json").write_text(table.json())
    (data / "datalist.json").write_text(json.dumps({"training": items, "validation": [], "test": []}))
    return whole
