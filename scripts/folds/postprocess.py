"""``postprocess``: whether keeping the largest component improves the scores of the folds, written into the bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.files import read_json, write_text

from ..bundle.config import SAVING, dumps, kind_of
from ..bundle.find import find_bundle
from ..data.labels import CLASSES
from ..errors import UserError
from ..tables import aligned
from .cases import scored_folds

if TYPE_CHECKING:
    from .largest import Step

LARGEST = "KeepLargestConnectedComponentd"
HEADINGS = ("keep the largest component of", "Dice % before", "after", "")


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
    data = Path(dataset_dir) if dataset_dir else root / "data"
    output = Path(output_dir) if output_dir else root / "output"
    scored_folds(output)

    from ..bundle.inference import InferenceBundle
    from .largest import decide
    from .scores import read_folds

    if InferenceBundle(root).finds_objects:
        raise UserError(f"{root.name} finds objects, of which there are many: the largest one alone is not wanted")
    scores = read_folds(output, data)
    cases = scores.cases(data)
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


def with_steps(transforms: Sequence[dict[str, Any]], steps: Iterable[Step], evaluates: bool) -> list[dict[str, Any]]:
    """A chain of postprocessing with these steps, before the maps are saved, instead of those that it has.

    Args:
        transforms: the chain.
        steps: those that are taken.
        evaluates: whether it is that of the evaluation, which leaves them out for a fold: they are decided from that.
    """
    kept = [step for step in transforms if step["_target_"] != LARGEST]
    place = next((n for n, step in enumerate(kept) if kind_of(step) in SAVING), len(kept))
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
