"""Scores of the predicted test cases, the same for all networks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.files import case_name, read_json
from components.images.reading import read
from components.metrics import count_matches, nsd, score
from scripts.data.dataset import files_of
from scripts.errors import UserError

TOLERANCE = 1.0
"""Of the NSD, in mm (in pixels for pictures)."""
IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
CLASSES = ("dice", "nsd", "hd95")
INSTANCES = (*(f"f1_{iou:g}" for iou in IOUS), "pq")

Row = dict[str, Any]


def columns(instances: bool) -> tuple[str, ...]:
    """Names of the scores."""
    return INSTANCES if instances else CLASSES


def score_cases(dataset_dir: Path, predictions: Path, instances: bool) -> list[Row]:
    """Score the test cases of a data set.

    Args:
        dataset_dir: with datalist.json.
        predictions: folder of label maps named CASE or CASE_pred; of instances CASE_instances.
        instances: whether objects are scored.

    Returns:
        One row for each case, and class where there are classes; None is not counted.

    Raises:
        UserError: if a prediction is missing or on another grid.
    """
    items = read_json(dataset_dir / "datalist.json")["test"]
    names = list(read_json(dataset_dir / "dataset.json")["labels"].values())[1:]
    rows: list[Row] = []
    for item in items:
        case = case_name(files_of(item["image"])[0])
        found = read(_prediction(predictions, case, instances), numbers=True)
        truth = read(dataset_dir / item["instances" if instances else "label"], numbers=True)
        if found.array.shape != truth.array.shape:
            raise UserError(
                f"the prediction of {case} in {predictions} has shape {found.array.shape}, not that of its label"
            )
        if instances:
            rows.append({"case": case, **of_instances(found.array, truth.array)})
            continue
        spacing = [1.0] * truth.array.ndim
        if truth.affine is not None:
            spacing = [float(size) for size in np.linalg.norm(truth.affine[:3, :3], axis=0)]
        rows += ({"case": case, **row} for row in of_classes(found.array, truth.array, names, spacing))
    return rows


def of_classes(
    prediction: np.ndarray, truth: np.ndarray, names: Sequence[str], spacing: Sequence[float]
) -> Iterator[Row]:
    """Dice, NSD and HD95 of each class; one that only one map has scores 0, 0 and the diagonal of the image."""
    for label, name in enumerate(names, start=1):
        p, t = prediction == label, truth == label
        dice, hd95 = score(p, t, "strict", spacing)
        values = dice, nsd(p, t, TOLERANCE, spacing), hd95
        yield {"class": name, **{c: None if math.isnan(v) else v for c, v in zip(CLASSES, values, strict=True)}}


def of_instances(prediction: np.ndarray, truth: np.ndarray) -> Row:
    """F1 at each IoU and the panoptic quality; None for an image without objects in both maps."""
    row: Row = {}
    for iou in IOUS:
        matched, predicted, present = count_matches(prediction, truth, iou)
        row[f"f1_{iou:g}"] = 2 * matched / (predicted + present) if predicted + present else None
    row["pq"] = panoptic_quality(prediction, truth)
    return row


def panoptic_quality(prediction: np.ndarray, truth: np.ndarray) -> float | None:
    """Panoptic quality of one class: the sum of the IoU of the matches over half the number of all objects.

    Objects match at an IoU above 0.5, which no object has with two others (Kirillov et al., CVPR 2019).

    Returns:
        A number in [0, 1]; None if neither map has an object.
    """
    area_p, area_t = np.bincount(prediction.ravel()), np.bincount(truth.ravel())
    objects = np.count_nonzero(area_p[1:]) + np.count_nonzero(area_t[1:])
    if not objects:
        return None
    both = (prediction > 0) & (truth > 0)
    pairs, counts = np.unique(np.stack([prediction[both], truth[both]]), axis=1, return_counts=True)
    iou = counts / (area_p[pairs[0]] + area_t[pairs[1]] - counts)
    return float(2 * iou[iou > 0.5].sum() / objects)


def _prediction(folder: Path, case: str, instances: bool) -> Path:
    wanted = [f"{case}_instances"] if instances else [f"{case}_pred", case]
    found = [path for path in folder.iterdir() if case_name(path) in wanted] if folder.is_dir() else []
    if not found:
        raise UserError(f"{folder} has no {wanted[0]}: delete predictions.json beside it to predict again")
    return found[0]
