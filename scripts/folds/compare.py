"""``compare``: the folds' scores of several bundles side by side, and which of them, or which pair, is best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..bundle.find import find_bundle
from ..errors import UserError
from ..predict.command import quiet
from ..tables import aligned
from .cases import scored_folds

if TYPE_CHECKING:
    from .pairs import Candidate
    from .scores import FoldScores

FEWEST = 2


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
            folds in fold_0 and so on, and that of a cascade's previous stage; by default the folder models of each.
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
    outputs = [Path(output_dir) / root.name if output_dir else root / "output" for root in roots]
    for output in outputs:
        scored_folds(output)

    from .pairs import Candidate, places_of, score_pairs
    from .scores import read_folds

    found = [Candidate(root, read_folds(output, data)) for root, output in zip(roots, outputs, strict=True)]
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
        weights = f' --override "{places_of(root, Path(ckpt_dir))}"' if ckpt_dir else ""
        print(f"  scanseg predict --bundle {root} --folds all --input SCANS --output LABELS/{root.name}{weights}{more}")
    if more:
        print(f"  scanseg ensemble {' '.join(f'LABELS/{root.name}' for root in chosen)} --output LABELS/both")


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
