"""Whether keeping the largest component of classes improves the Dice of label maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.transforms import KeepLargestConnectedComponent
from tqdm import tqdm

from components.metrics import dice

from .cases import ScoredCase
from .maps import label_map, mean_of


@dataclass(frozen=True)
class Step:
    """A step that was tried.

    Args:
        labels: the labels of which together the largest component is kept.
        name: what they are called.
        before: mean Dice without it, of the class, or of all classes where it is of all.
        after: the same with it.
        taken: whether it is an improvement.
    """

    labels: tuple[int, ...]
    name: str
    before: float
    after: float
    taken: bool


def decide(
    cases: Sequence[ScoredCase],
    names: Sequence[str],
    ignored: int | None = None,
    regions: Sequence[Sequence[int]] | None = None,
) -> list[Step]:
    """Try all steps on the label maps of the folds, one after the other on what those that were taken have left.

    Args:
        cases: the cases, each with its label map and the ground truth.
        names: names of the classes.
        ignored: label of the ground truth's voxels that do not count; None counts all.
        regions: the labels of each class, where classes are regions that may overlap; None numbers them from 1 on.

    Returns:
        First the step of all classes together, where there are several; then that of each class.

    Raises:
        UserError: if a file is damaged, or a map is not on the grid of the ground truth.

    Source: Isensee et al.: nnU-Net, Nature Methods 18 (2021), and ``determine_postprocessing`` of its version 2: an
    improvement is a larger mean over the cases, in which a class that neither map has does not count.
    """
    classes = [tuple(region) for region in regions or [[number] for number in range(1, len(names) + 1)]]
    everything = tuple(sorted({label for labels in classes for label in labels}))
    tried = [(name, labels, place) for place, (name, labels) in enumerate(zip(names, classes, strict=True))]
    taken: list[tuple[int, ...]] = []
    steps = []
    with tqdm(desc="looking", unit="case", total=len(cases) * (len(names) + 1 + (len(names) > 1)), disable=None) as bar:

        def scored(chosen: Sequence[tuple[int, ...]]) -> np.ndarray:
            rows = []
            for case in cases:
                rows.append(_dice_of(case, chosen, classes, ignored))
                bar.update()
            return mean_of(np.array(rows))

        before = scored(taken)
        for name, labels, place in [("all classes", everything, None)] * (len(names) > 1) + tried:
            after = scored([*taken, labels])
            old, new = (_mean(before), _mean(after)) if place is None else (float(before[place]), float(after[place]))
            is_better = new > old and not (place is None and (after < before).any())
            steps.append(Step(labels, name, old, new, is_better))
            if is_better:
                taken, before = [*taken, labels], after
    return steps


def _dice_of(
    case: ScoredCase, steps: Sequence[tuple[int, ...]], classes: Sequence[tuple[int, ...]], ignored: int | None
) -> list[float]:
    """Dice of each class of a case after some steps."""
    truth = label_map(case.label)
    labels = label_map(case.prediction, truth.shape)
    for chosen in steps:
        labels = largest(labels, chosen)
    counted = truth != ignored
    return [dice(np.isin(labels[counted], each), np.isin(truth[counted], each)) for each in classes]


def largest(labels: np.ndarray, chosen: Iterable[int]) -> np.ndarray:
    """Label map in which of all voxels of the chosen classes only the largest component is left.

    Args:
        labels: the label map.
        chosen: classes that count as one; voxels that touch by a corner are of one component.
    """
    keep = KeepLargestConnectedComponent(applied_labels=list(chosen), independent=False, is_onehot=False)
    return np.asarray(keep(torch.tensor(labels[None])))[0]  # a copy, as MONAI's transform changes what it gets


def _mean(values: np.ndarray) -> float:
    return float(mean_of(values))
