"""``postprocess``: whether keeping the largest component improves the scores of the folds, written into the bundle."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import KeepLargestConnectedComponent
from tqdm import tqdm

from components.files import write_text
from components.metrics import dice

from ..bundle.find import find_bundle
from ..bundle.inference import SAVING, InferenceBundle
from ..data.dataset import read_json
from ..data.labels import CLASSES
from ..errors import UserError
from ..new.write import dumps
from ..tables import aligned
from .outputs import HeldOut, held_out, label_map, read_folds

LARGEST = "KeepLargestConnectedComponentd"
HEADINGS = ("keep the largest component of", "Dice % before", "after", "")


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


def postprocess(bundle: str, dataset_dir: str | None = None, output_dir: str | None = None) -> None:
    """Keep the largest component of classes, where the folds' scores improve by it.

    It is decided as nnU-Net does, from label maps that networks made of cases that they have not seen: first of all
    classes together, if the mean Dice improves and that of no class gets worse, then of each class, or region, by
    itself, if its Dice improves. What is taken is written into configs/inference.json and evaluate.json of the bundle,
    in place of what stood there; the scores of the folds themselves stay without it.

    Args:
        bundle: name or folder of a bundle that new made.
        dataset_dir: the data set with the folds; by default the folder data of the bundle.
        output_dir: folder of fold_0 and so on, as run training --folds all leaves it; by default the folder output of
            the bundle.

    Example:
        scanseg postprocess bundles/spleen --dataset_dir bundles/spleen/data --output_dir output
    """
    root = find_bundle(bundle, "inference.json", "bundle")
    if root.name in CLASSES:
        raise UserError(
            f"{root.name} is a bundle of scanseg, which has the postprocessing of its paper: see scanseg new"
        )
    opened = InferenceBundle(root)
    if opened.finds_objects:
        raise UserError(f"{root.name} finds objects, of which there are many: the largest one alone is not wanted")
    data = Path(dataset_dir) if dataset_dir else root / "data"
    output = Path(output_dir) if output_dir else root / "output"
    scores = read_folds(output, data)
    cases = held_out(scores.folders, data)
    if missing := [case.prediction for case in cases if not case.prediction.is_file()]:
        raise UserError(
            f"{len(missing)} of {len(cases)} label maps are missing, the first is {missing[0]}: "
            f"`scanseg run evaluating … --fold all` writes them"
        )
    settings = read_json(root / "configs" / "evaluate.json")
    steps = decide(cases, scores.table.class_names, settings.get("ignore_label"), settings.get("regions"))
    taken = [step for step in steps if step.taken]
    for file, key in (("inference.json", "postprocessing"), ("evaluate.json", "validate#postprocessing")):
        path = root / "configs" / file
        config = read_json(path)
        holder = config
        for part in key.split("#"):
            holder = holder[part]
        holder["transforms"] = with_steps(holder["transforms"], taken, file == "evaluate.json")
        write_text(path, dumps(config) + "\n")
    rows = [
        (step.name, f"{100 * step.before:.2f}", f"{100 * step.after:.2f}", "taken" if step.taken else "left")
        for step in steps
    ]
    print(aligned(rows, HEADINGS))
    print(f"{root / 'configs' / 'inference.json'} has {len(taken) or 'no'} step{'s' * (len(taken) != 1)} of {LARGEST}")


def decide(
    cases: Sequence[HeldOut],
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
    case: HeldOut, steps: Sequence[tuple[int, ...]], classes: Sequence[tuple[int, ...]], ignored: int | None
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


def with_steps(transforms: Sequence[dict[str, Any]], steps: Iterable[Step], evaluates: bool) -> list[dict[str, Any]]:
    """A chain of postprocessing with these steps, before the maps are saved, instead of those that it has.

    Args:
        transforms: the chain.
        steps: those that are taken.
        evaluates: whether it is that of the evaluation, which leaves them out for a fold: they are decided from that.
    """
    kept = [step for step in transforms if step["_target_"] != LARGEST]
    place = next((n for n, step in enumerate(kept) if step["_target_"].rpartition(".")[2] in SAVING), len(kept))
    added = [
        {
            "_target_": LARGEST,
            **({"_disabled_": "$@fold is not None"} if evaluates else {}),
            "keys": "pred",
            "applied_labels": list(step.labels),
            "independent": False,
            "is_onehot": False,
        }
        for step in steps
    ]
    return [*kept[:place], *added, *kept[place:]]


def mean_of(values: np.ndarray) -> np.ndarray:
    """Means over the first axis, without NaN; NaN where there is nothing else."""
    counted = ~np.isnan(values)
    total = np.where(counted, values, 0).sum(0)
    return np.divide(total, counted.sum(0), out=np.full(total.shape, math.nan), where=counted.any(0))


def _mean(values: np.ndarray) -> float:
    return float(mean_of(values))
