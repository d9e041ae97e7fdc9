"""Scores of pairs of bundles, whose probabilities are averaged."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from components.files import read_json
from components.images.endings import kind_of
from components.metrics import dice

from ..bundle.inference import InferenceBundle
from ..predict.cases import Case
from ..predict.predictor import Predictor
from .cases import ScoredCase, scored_cases
from .maps import label_map, mean_of
from .scores import FoldScores


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


def places_of(root: Path, ckpt_dir: Path | None) -> dict[str, str]:
    """Where the weights of a bundle, and those of the previous stage of a cascade, lie, as overrides of its config.

    Args:
        root: folder of the bundle.
        ckpt_dir: folder with the weights of each bundle under its name; None for those in the bundles.
    """
    if ckpt_dir is None:
        return {}
    previous = InferenceBundle(root).previous_stage
    more = {} if previous is None else {"previous_ckpt_dir": str(ckpt_dir / previous.name)}
    return {"ckpt_dir": str(ckpt_dir / root.name), **more}


def score_pairs(
    candidates: Sequence[Candidate], dataset_dir: Path, device: str | None = None, ckpt_dir: Path | None = None
) -> dict[tuple[str, str], float]:
    """Mean Dice of the average of two bundles, for all pairs.

    Args:
        candidates: the bundles.
        dataset_dir: the data set.
        device: as of :class:`scripts.predict.Predictor`.
        ckpt_dir: as of :func:`places_of`; the weights are in ``fold_k``.

    Raises:
        UserError: if weights are missing, or a bundle has no probabilities.
    """
    settings = read_json(candidates[0].root / "configs" / "evaluate.json")
    regions = settings.get("regions") or [[n] for n in range(1, len(candidates[0].scores.table.class_names) + 1)]
    values: dict[tuple[str, str], list[list[float]]] = {}
    places = {each.name: places_of(each.root, ckpt_dir) for each in candidates}
    for fold, folder in candidates[0].scores.folders.items():
        predictors = {}
        for each in candidates:
            predictors[each.name] = Predictor(each.root, device=device, folds=[fold], override=places[each.name])
        for case in tqdm(scored_cases(folder, dataset_dir, fold), f"fold {fold}", unit="case", disable=None):
            for names, row in _score_case(case, predictors, regions, settings.get("ignore_label")).items():
                values.setdefault(names, []).append(row)
    return {names: float(mean_of(mean_of(np.array(rows)))) for names, rows in values.items()}


def _score_case(
    case: ScoredCase, predictors: Mapping[str, Predictor], regions: Sequence[Sequence[int]], ignored: int | None
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
