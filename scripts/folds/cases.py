"""The cases that an evaluation scored, of the test or held out of a fold, and the files of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from components.datalist import prediction_path, split_items
from components.files import case_name

from ..data.dataset import files_of
from ..errors import UserError

FOLDER = re.compile(r"fold_(\d+)")


@dataclass(frozen=True)
class ScoredCase:
    """Files of a case.

    Args:
        name: name of the case.
        images: the image, a file for each channel or one.
        label: the ground truth, or None.
        prediction: where the label map is, or should be.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None
    prediction: Path


def scored_cases(output_dir: Path, dataset_dir: Path, fold: int | None = None) -> list[ScoredCase]:
    """The cases of an evaluation.

    Args:
        output_dir: its folder.
        dataset_dir: the data set.
        fold: the fold whose held-out cases it scored; None if it scored the test cases.

    Raises:
        ValueError: if the data set has no such fold, or no list of test cases.
    """
    cases = []
    for item in split_items(str(dataset_dir), "test", fold):
        images = tuple(map(Path, files_of(item["image"])))
        label = Path(item["label"]) if "label" in item else None
        cases.append(ScoredCase(case_name(images[0]), images, label, prediction_path(output_dir, images[0])))
    return cases


def fold_folders(output_dir: Path) -> dict[int, Path]:
    """Folders ``fold_0``, … of an output_dir that hold scores, by number."""
    found = {
        int(matched[1]): path
        for path in (output_dir.iterdir() if output_dir.is_dir() else ())
        if (matched := FOLDER.fullmatch(path.name)) and (path / "metrics.json").is_file()
    }
    return dict(sorted(found.items()))


def scored_folds(output_dir: Path) -> dict[int, Path]:
    """As :func:`fold_folders`, of an output_dir that must have some.

    Raises:
        UserError: if it has none.
    """
    if folders := fold_folders(output_dir):
        return folders
    raise UserError(
        f"{output_dir} has no scores of folds (fold_0/metrics.json, …): `scanseg run training … --folds all`"
    )
