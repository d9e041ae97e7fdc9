"""``compare``: the folds' scores of several bundles side by side, and which of them, or which pair, is best."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from components.images.endings import kind_of
from components.metrics import dice

from ..bundle.find import find_bundle
from ..data.dataset import read_json
from ..errors import UserError
from ..predict import Predictor
from ..predict.cases import Case
from ..predict.command import quiet
from ..tables import aligned
from .outputs import FoldScores, HeldOut, held_out, label_map, read_folds
from .postprocess import mean_of

FEWEST = 2


@dataclass(frozen=True)
class Candidate:
    """A bundle to choose from.

    Args:
        root: its folder.
        scores: scores of its folds.
    """

    root: Path
    scores: FoldScores

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.root.name


def compare(
    *bundles: str,
    dataset_dir: str | None = None,
    output_dir: str | None = None,
    ckpt_dir: str | None = None,
    pairs: bool = True,
    device: str | None = None,
) -> None:
    """Compare bundles by their folds, and name the best one, or the best pair.

    Each bundle was trained in the same folds (run training --folds all). What counts is the mean Dice over the cases
    that a network has not seen, as in nnU-Net's find_best_configuration. A pair is the average of the probabilities of
    two bundles on the grid of the image; for it the networks of the folds segment their held-out cases again.

    Args:
        bundles: names or folders.
        dataset_dir: the data set with the folds; by default the folder data of the first bundle.
        output_dir: folder that holds the output_dir of each bundle under its name; by default the folder output of
            each bundle.
        ckpt_dir: for the pairs, folder that holds the ckpt_dir of each bundle under its name, with the weights of the
            folds in fold_0 and so on; by default the folder models of each bundle.
        pairs: whether pairs are tried, too; --nopairs leaves them out.
        device: for the pairs: cpu, cuda or cuda:1; by default CUDA where there is a GPU.

    Example:
        scanseg compare spleen_bot spleen_enc --dataset_dir spleen_bot/data
    """
    if len(bundles) < FEWEST:
        raise UserError(f"compare needs {FEWEST} bundles or more, not {len(bundles)}")
    roots = [find_bundle(name, "inference.json", "bundle") for name in bundles]
    if len({root.name for root in roots}) < len(roots):
        raise UserError("two of the bundles have the same name: give each one once")
    data = Path(dataset_dir) if dataset_dir else roots[0] / "data"
    found = [
        Candidate(root, read_folds(Path(output_dir) / root.name if output_dir else root / "output", data))
        for root in roots
    ]
    _check_alike(found)
    results = {each.name: _dice_of(each.scores) for each in found}
    print(_side_by_side(found))
    if pairs:
        with quiet():
            scored = score_pairs(found, data, device, Path(ckpt_dir) if ckpt_dir else None)
        results |= {" + ".join(names): value for names, value in scored.items()}
    rows = [(name, f"{100 * value:.2f}") for name, value in results.items()]
    print(aligned(rows, ("", "mean Dice %")))
    best = max(results, key=lambda name: results[name])  # the first of equals: the simpler one
    print(f"best: {best}")
    chosen = [root for root in roots if root.name in best.split(" + ")]
    more = " --save_probabilities" if len(chosen) > 1 else ""
    for root in chosen:
        weights = f" --override \"{{'ckpt_dir': '{Path(ckpt_dir) / root.name}'}}\"" if ckpt_dir else ""
        print(f"  scanseg predict --bundle {root} --folds all --input SCANS --output LABELS/{root.name}{weights}{more}")
    if more:
        print(f"  scanseg ensemble {' '.join(f'LABELS/{root.name}' for root in chosen)} --output LABELS/both")


def score_pairs(
    candidates: Sequence[Candidate], dataset_dir: Path, device: str | None = None, ckpt_dir: Path | None = None
) -> dict[tuple[str, str], float]:
    """Mean Dice of the average of two bundles, for all pairs.

    Args:
        candidates: the bundles.
        dataset_dir: the data set.
        device: as of :class:`scripts.predict.Predictor`.
        ckpt_dir: folder with the weights of each bundle in ``NAME/fold_k``; None for its own ``models/fold_k``.

    Raises:
        UserError: if weights are missing, or a bundle has no probabilities.
    """
    settings = read_json(candidates[0].root / "configs" / "evaluate.json")
    regions = settings.get("regions") or [[n] for n in range(1, len(candidates[0].scores.table.class_names) + 1)]
    values: dict[tuple[str, str], list[list[float]]] = {}
    for fold, folder in candidates[0].scores.folders.items():
        predictors = {}
        for each in candidates:
            place = {"ckpt_dir": str(ckpt_dir / each.name)} if ckpt_dir else None
            predictors[each.name] = Predictor(each.root, device=device, folds=[fold], override=place)
        for case in tqdm(held_out({fold: folder}, dataset_dir), f"fold {fold}", unit="case", disable=None):
            for names, row in _score_case(case, predictors, regions, settings.get("ignore_label")).items():
                values.setdefault(names, []).append(row)
    return {names: float(mean_of(mean_of(np.array(rows)))) for names, rows in values.items()}


def _score_case(
    case: HeldOut, predictors: Mapping[str, Predictor], regions: Sequence[Sequence[int]], ignored: int | None
) -> dict[tuple[str, str], list[float]]:
    """Dice of each class, which is a set of labels, for each pair."""
    image = Case(case.name, kind_of(case.images[0]), case.images, str(case.images[0]))
    chances = {name: predictor(image, probabilities=True).probabilities for name, predictor in predictors.items()}
    truth = label_map(case.label)
    counted = truth != ignored
    scores = {}
    for names in itertools.combinations(predictors, 2):
        mean = sum(chances[name] for name in names).reshape(-1, *truth.shape) / 2
        overlapping = len(mean) == len(regions)  # no channel for the background
        masks = mean > 0.5 if overlapping else [mean.argmax(0) == number for number in range(1, len(mean))]
        scores[names] = [
            dice(mask[counted], np.isin(truth, region)[counted]) for mask, region in zip(masks, regions, strict=True)
        ]
    return scores


def _check_alike(found: Sequence[Candidate]) -> None:
    first = found[0]
    for other in found[1:]:
        if other.scores.table.class_names != first.scores.table.class_names:
            raise UserError(f"{other.name} has other classes than {first.name}: they are not of one data set")
        if wrong := sorted(set(other.scores.table.cases) ^ set(first.scores.table.cases)):
            raise UserError(
                f"{wrong[0]} was scored by one of {first.name} and {other.name} only: train and evaluate the same folds"
            )
    if "dice" not in first.scores.table.scoring.columns["strict"]:
        raise UserError(f"{first.name} has no Dice to compare by: it finds objects")


def _dice_of(scores: FoldScores) -> float:
    value = scores.summary["mean"]["strict"]["dice"]
    return float("nan") if value is None else value


def _side_by_side(found: Sequence[Candidate]) -> str:
    summaries = [each.scores.summary for each in found]
    rows = [
        [name, *(_percent(summary["classes"][name]["strict"]["dice"]) for summary in summaries)]
        for name in found[0].scores.table.class_names
    ]
    rows += [
        [f"fold {fold}", *(_percent(summary["folds"][str(fold)]["dice"]) for summary in summaries)]
        for fold in found[0].scores.folders
    ]
    rows.append(["deviation", *(_percent(summary["deviation"]["dice"]) for summary in summaries)])
    return aligned(rows, ["Dice %", *(each.name for each in found)])


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"
