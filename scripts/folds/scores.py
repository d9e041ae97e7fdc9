"""The scores of all folds as one evaluation: every case scored by the network that has not seen it."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.files import read_json
from components.metrics import ScoreTable, Scoring

from ..errors import UserError
from .cases import ScoredCase, scored_cases, scored_folds


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

    def cases(self, dataset_dir: Path) -> list[ScoredCase]:
        """The held-out cases of all folds.

        Args:
            dataset_dir: the data set.

        Raises:
            ValueError: if it has no such fold.
        """
        return [case for fold, folder in self.folders.items() for case in scored_cases(folder, dataset_dir, fold)]

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
    folders = scored_folds(output_dir)
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


def _check_cases(folder: Path, fold: int, scored: set[str], dataset_dir: Path) -> None:
    wanted = {case.name for case in scored_cases(folder, dataset_dir, fold)}
    if wrong := sorted(wanted ^ scored):
        state = "does not have" if wrong[0] in wanted else "has"
        raise UserError(
            f"{folder / 'metrics.csv'} {state} {wrong[0]}, which is {'' if wrong[0] in wanted else 'not '}held out of "
            f"fold {fold} of {dataset_dir}: give the data set of its training, or score it again by "
            f"`scanseg run evaluating … --fold {fold}`"
        )


def _value(name: str, text: str) -> Any:
    return text if name in ("case", "class") else float(text or "nan")
