"""The scores of all folds as one evaluation: every case scored by the network that has not seen it."""

from __future__ import annotations

import csv
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.data import prediction_path, split_items
from components.files import case_name
from components.images.reading import read
from components.metrics import ScoreTable, Scoring

from ..data.dataset import files_of, read_json
from ..data.reading import naming
from ..errors import UserError

FOLDER = re.compile(r"fold_(\d+)")


class Recorded(Scoring):
    """The scoring of an evaluation, as its ``metrics.json`` describes it; it scores nothing."""

    def __init__(self, summary: Mapping[str, Any], sizes: Sequence[str]) -> None:
        self.columns = {convention: tuple(scores) for convention, scores in summary["scores"].items()}
        self.sizes = tuple(sizes)
        self.within_cases = tuple(summary.get("within_cases", ()))
        self.spacing = summary["spacing"]
        self._descriptions = summary["conventions"]

    def descriptions(self) -> dict[str, str]:
        """What each convention does."""
        return self._descriptions


@dataclass(frozen=True)
class HeldOut:
    """A case of a fold.

    Args:
        name: name of the case.
        fold: the fold that it is held out of.
        images: the image, a file for each channel or one.
        label: the ground truth.
        prediction: where the label map is that the network of the fold made of it.
    """

    name: str
    fold: int
    images: tuple[Path, ...]
    label: Path
    prediction: Path


@dataclass(frozen=True)
class FoldScores:
    """The scores of all folds.

    Args:
        folders: the output_dir of each fold.
        summaries: content of ``metrics.json`` of each fold.
        table: the rows of all folds.
    """

    folders: dict[int, Path]
    summaries: dict[int, dict[str, Any]]
    table: ScoreTable

    @property
    def summary(self) -> dict[str, Any]:
        """As ``metrics.json``, over all cases, and what the folds say.

        ``folds`` are the number of cases and the strict means of each, ``mean_of_folds`` the mean of these means and
        ``deviation`` their standard deviation (of a sample; None for a single fold).
        """
        means = {fold: found["mean"]["strict"] for fold, found in self.summaries.items()}
        over = {key: [m[key] for m in means.values() if m[key] is not None] for key in next(iter(means.values()))}
        return self.table.summary() | {
            "folds": {str(n): {"cases": self.summaries[n]["cases"], **mean} for n, mean in means.items()},
            "mean_of_folds": {key: statistics.fmean(values) if values else None for key, values in over.items()},
            "deviation": {key: statistics.stdev(v) if len(v) > 1 else None for key, v in over.items()},
        }


def fold_folders(output_dir: Path) -> dict[int, Path]:
    """Folders ``fold_0``, … of an output_dir that hold scores, by number."""
    found = {
        int(matched[1]): path
        for path in (output_dir.iterdir() if output_dir.is_dir() else ())
        if (matched := FOLDER.fullmatch(path.name)) and (path / "metrics.json").is_file()
    }
    return dict(sorted(found.items()))


def read_folds(output_dir: Path, dataset_dir: Path | None = None) -> FoldScores:
    """Read the scores of all folds.

    Args:
        output_dir: folder of ``fold_0``, ….
        dataset_dir: the data set, to see that each fold was scored on the cases held out of it; None for not.

    Raises:
        UserError: if there are none, if they were scored in different ways, if a case is in two of them, or if a fold
            was scored on other cases than those of the data set.
        ValueError: if the data set has no such fold.
    """
    folders = fold_folders(output_dir)
    if not folders:
        raise UserError(
            f"{output_dir} has no scores of folds (fold_0/metrics.json, …): `scanseg run training … --folds all`"
        )
    summaries = {fold: read_json(folder / "metrics.json") for fold, folder in folders.items()}
    first, *others = summaries
    for key in ("scores", "conventions"):
        for fold in others:
            if summaries[fold].get(key) != summaries[first].get(key) or (
                list(summaries[fold]["classes"]) != list(summaries[first]["classes"])
            ):
                raise UserError(
                    f"{folders[fold]} and {folders[first]} were scored in different ways: `scanseg run evaluating … "
                    f"--fold all` scores all folds again"
                )
    table: ScoreTable | None = None
    seen: dict[str, int] = {}
    for fold, folder in folders.items():
        with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = [{name: _value(name, text) for name, text in row.items()} for row in reader]
            if table is None:
                columns = [f"{c}_{s}" for c, scores in summaries[fold]["scores"].items() for s in scores]
                sizes = [name for name in reader.fieldnames or () if name not in ("case", "class", *columns)]
                table = ScoreTable(list(summaries[fold]["classes"]), Recorded(summaries[fold], sizes))
        for case in dict.fromkeys(row["case"] for row in rows):
            if (other := seen.setdefault(case, fold)) != fold:
                raise UserError(f"{case} is in {folders[other]} and in {folder}: a case is held out of one fold only")
        table.merge(rows)
        if dataset_dir is not None:
            _check_cases(folder, fold, {case for case, number in seen.items() if number == fold}, dataset_dir)
    assert table is not None
    return FoldScores(folders, summaries, table)


def held_out(folders: Mapping[int, Path], dataset_dir: Path) -> list[HeldOut]:
    """The cases of the folds, with the files that the evaluation of each fold left.

    Args:
        folders: the output_dir of each fold.
        dataset_dir: the data set.

    Raises:
        ValueError: if the data set has no such fold.
    """
    cases = []
    for fold, folder in folders.items():
        for item in split_items(str(dataset_dir), "test", fold):
            images = tuple(Path(path) for path in files_of(item["image"]))
            prediction = prediction_path(folder, images[0])
            cases.append(HeldOut(case_name(images[0]), fold, images, Path(item["label"]), prediction))
    return cases


def label_map(path: Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A label map on the grid of its file.

    Args:
        path: a volume or a picture.
        shape: the shape that it must have; any by default.

    Raises:
        UserError: if the file is damaged or its shape is another.
    """
    with naming(path):
        labels = np.rint(read(path, numbers=True).array).astype(np.int16)
        if shape is not None and labels.shape != shape:
            raise ValueError(f"it has shape {labels.shape}, but its ground truth {shape}: they must be on one grid")
        return labels


def _check_cases(folder: Path, fold: int, scored: set[str], dataset_dir: Path) -> None:
    wanted = {case.name for case in held_out({fold: folder}, dataset_dir)}
    if wrong := sorted(wanted ^ scored):
        state = "does not have" if wrong[0] in wanted else "has"
        raise UserError(
            f"{folder / 'metrics.csv'} {state} {wrong[0]}, which is {'' if wrong[0] in wanted else 'not '}held out of "
            f"fold {fold} of {dataset_dir}: give the data set of its training, or score it again by "
            f"`scanseg run evaluating … --fold {fold}`"
        )


def _value(name: str, text: str) -> Any:
    return text if name in ("case", "class") else float(text or "nan")
