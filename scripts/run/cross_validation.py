"""The folds of a training, one after another: each trained, then scored on the cases that it has not seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.datalist import fold_numbers
from components.files import read_json

from ..arguments import PROGRAM
from ..errors import UserError
from .monai_command import from_here, typed

FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP")
Settings = Mapping[str, str | None]


@dataclass(frozen=True)
class Plan:
    """What the runs of all folds have in common.

    Args:
        root: folder of the bundle.
        dataset_dir: the data set; None for the folder data of the bundle.
        settings: overrides by id, as they are typed.
        words: gives the words after ``python`` of a run, from the id to run and its overrides.
    """

    root: Path
    dataset_dir: str | None
    settings: Settings
    words: Callable[[str, Settings], list[str]]


def folds_of(text: str, dataset_dir: Path) -> list[int]:
    """Numbers of folds, as they are typed.

    Args:
        text: "all", or numbers with commas between them.
        dataset_dir: the data set that has the folds.

    Raises:
        UserError: if the data set has no list, or ``text`` is neither.
        ValueError: if the data set has no folds or not these.
    """
    if not (dataset_dir / "datalist.json").is_file():
        raise UserError(f"dataset_dir {dataset_dir} has no datalist.json: give another --dataset_dir")
    if text.strip() == "all":
        return fold_numbers(str(dataset_dir))
    try:
        wanted = [int(word) for word in text.strip("[]() ").split(",")]
    except ValueError:
        raise UserError(f"--folds {text} is neither all nor numbers such as 0,2") from None
    fold_numbers(str(dataset_dir), wanted)
    return list(dict.fromkeys(wanted))


def train_folds(plan: Plan, folds: str) -> int:
    """Train the folds that are left, and score each on its held-out cases where that is not done.

    An interrupted training is resumed, and a finished one is left alone (``--resume auto``).

    Args:
        plan: the runs.
        folds: as of :func:`folds_of`.

    Returns:
        The exit status of the first run that fails or is interrupted; the folds after it are left. 0 for none.
    """
    numbers = folds_of(folds, _dataset(plan))
    for number in numbers:
        settings = {"resume": "auto", **_of_fold(plan, number)}
        if status := _run(plan, "training", settings, number):
            return status
        if not _is_scored(plan, settings, number) and (status := evaluate_fold(plan, number)):
            return status
    _tell_next(plan)
    return 0


def evaluate_folds(plan: Plan, folds: str) -> int:
    """Score the network of each fold on its held-out cases; arguments and result as of :func:`train_folds`."""
    for number in folds_of(folds, _dataset(plan)):
        if status := evaluate_fold(plan, number):
            return status
    _tell_next(plan)
    return 0


def evaluate_fold(plan: Plan, number: int) -> int:
    """Score the network of a fold; of the overrides those that the evaluation knows are taken."""
    known = read_json(plan.root / "configs" / "evaluate.json")
    settings = {
        name: value for name, value in _of_fold(plan, number).items() if name.replace("::", "#").split("#")[0] in known
    }
    return _run(plan, "evaluating", settings, number)


def _tell_next(plan: Plan) -> None:
    output = Path(plan.settings.get("output_dir") or plan.root / "output")
    places = ["--output_dir", str(from_here(output)), "--dataset_dir", str(from_here(_dataset(plan)))]
    print(f"the folds are ready: {from_here(output)}; next: {typed([PROGRAM, 'report', *places])}")


def _dataset(plan: Plan) -> Path:
    return Path(plan.dataset_dir) if plan.dataset_dir is not None else plan.root / "data"


def _of_fold(plan: Plan, number: int) -> dict[str, str | None]:
    """The overrides of a fold: folders that are given for all of them get one of its own below."""
    own = {
        name: str(Path(plan.settings[name]) / f"fold_{number}")
        for name in ("output_dir", "ckpt_dir")
        if plan.settings.get(name) is not None
    }
    return {**plan.settings, **own, "fold": str(number)}


def _is_scored(plan: Plan, settings: Settings, number: int) -> bool:
    """Whether the scores of a fold are there, and younger than its weights."""
    output, weights = (
        Path(settings[name] or "") if settings.get(name) else plan.root / folder / f"fold_{number}"
        for name, folder in (("output_dir", "output"), ("ckpt_dir", "models"))
    )
    scores, model = output / "metrics.json", weights / "model.pt"
    return scores.is_file() and model.is_file() and scores.stat().st_mtime >= model.stat().st_mtime


def _run(plan: Plan, run_id: str, settings: Settings, number: int) -> int:
    words = plan.words(run_id, settings)
    status = wait_for([sys.executable, *words])
    if status:
        print(
            f"{run_id} of fold {number} ended with status {status}: run the same command again to continue",
            file=sys.stderr,
        )
    return status


def wait_for(command: Iterable[str]) -> int:
    """Run a command to its end and pass on the signals that ask this process to end, each once.

    A terminal signals the whole group of a process: the command is in one of its own, or it would hear of it twice.

    Returns:
        Its exit status; 128 and the number of the signal that killed it.
    """
    process = subprocess.Popen(list(command), start_new_session=os.name == "posix")

    def forward(number: int, frame: object) -> None:
        process.send_signal(number)

    before = {
        number: signal.signal(number, forward) for number in (getattr(signal, n, None) for n in FORWARDED) if number
    }
    try:
        status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - status if status < 0 else status
