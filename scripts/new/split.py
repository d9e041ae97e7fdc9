"""Which cases are for training, for validation and for the test, and in which fold."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from components.files import read_json

from ..data.dataset import PARTS
from ..data.reading import naming
from ..errors import UserError
from .own_data import Source, Sources

FIFTH = 5
"""One case of so many is held out."""


def split(
    sources: Sources,
    seed: int,
    group: str | None = None,
    looks: Mapping[str, str] | None = None,
    folds: int | None = None,
    splits: Path | None = None,
) -> tuple[list[Source], str]:
    """Divide the cases.

    The test is what the data set brings with labels, or else a fifth of all cases; of the others a fifth selects the
    model, or with folds all others are for training, each in a fold. The lists of a dataset_dir are kept; with folds
    its validation cases are for training, too. The same cases and seed give the same lists.

    Args:
        sources: the cases.
        seed: of the random order.
        group: regular expression; cases in whose names it finds the same text stay together.
        looks: kind of image of each case, by its name, such as :attr:`scripts.new.measure.CaseFacts.look`; each kind
            is divided by itself, so that none is missing where there are some of it. None for a single kind.
        folds: number of folds to draw; None for none.
        splits: file with the folds, see :func:`read_splits`; the cases that it does not name are for
            the test.

    Returns:
        The cases with their list, those of each list in the order of their names, and the division in words.

    Raises:
        UserError: if there are too few cases, ``group`` is not an expression that fits every name, or ``splits`` does
            not fit the cases.
    """
    if splits is not None:
        numbers = read_splits(splits)
        cases = _sorted(with_splits(sources.cases, numbers, splits))
        tested = any(case.part == "test" for case in cases)
        test = "the cases that it does not name" if tested else "none, as it names all cases"
        return cases, f"Folds: {max(numbers.values()) + 1}, of {splits.name}. Test: {test}."
    if sources.ready and folds is None:
        folds = any(case.fold is not None for case in sources.cases)
        for part in PARTS:
            if not any(case.part == part for case in sources.cases) and not (folds and part == "validation"):
                raise UserError(f"{sources.root / 'datalist.json'} has no {part} cases")
        return list(sources.cases), str(sources.record.get("split", "")) or "the lists of the data set"
    groups = {case.name: _group(case.name, group) for case in sources.cases}
    test = {groups[case.name] for case in sources.cases if case.part == "test"}
    others = {groups[case.name] for case in sources.cases if case.part != "test"}
    if shared := test & others:
        raise UserError(f"--group: {sorted(shared)[0]!r} is both in training and in the test set")
    what = "cases" if group is None else "groups"
    brought = "those of the data set" if sources.ready else f"the {what} of imagesTs"
    words = f"Test: {brought}." if test else f"Test: a random fifth of the {what}."
    least = 2 if test else 3
    if len(others) < least:
        raise UserError(
            f"{len(others)} {what} are too few to divide: {least} are needed, one each for training, validation"
            + (" and test" if least == 3 else "")
        )
    order = sorted(others)
    random.Random(seed).shuffle(order)
    kinds: dict[str, str] = {}
    for case in sources.cases:
        kinds.setdefault(groups[case.name], (looks or {}).get(case.name, ""))
    if not test:
        test = _take(order, kinds)
    validation = set() if folds else _take(order, kinds)
    numbers = deal(order, kinds, folds) if folds else {}
    if len(set(kinds.values())) > 1:
        words += f" Each kind of image ({', '.join(sorted(set(kinds.values())))}) is divided by itself."
    parts = dict.fromkeys(test, "test") | dict.fromkeys(validation, "validation")
    cases = [
        replace(case, part=parts.get(groups[case.name], "training"), fold=numbers.get(groups[case.name]))
        for case in sources.cases
    ]
    held_out = f"Folds: the other {what} in {folds}" if folds else f"Validation: a random fifth of the other {what}"
    return _sorted(cases), f"{words} {held_out}, seed {seed}."


def deal(order: Sequence[str], kinds: Mapping[str, str], folds: int) -> dict[str, int]:
    """Deal names out to folds, so that folds differ by one name at most, and so do those of each kind.

    Args:
        order: the names, in random order.
        kinds: kind of each name.
        folds: number of folds.

    Returns:
        Number of the fold, from 0 on, of each name.

    Raises:
        UserError: if there are fewer than two folds, or fewer names than folds.

    Example:
        >>> deal(["c", "a", "d", "b"], {"a": "x", "b": "x", "c": "y", "d": "y"}, 2)
        {'a': 0, 'b': 1, 'c': 0, 'd': 1}
    """
    if folds < 2:
        raise UserError(f"--folds {folds}: at least 2 are needed")
    if len(order) < folds:
        raise UserError(f"--folds {folds} is more than the {len(order)} training names to divide")
    by_kind = sorted(order, key=lambda name: kinds.get(name, ""))  # stable: the order within a kind stays
    return {name: place % folds for place, name in enumerate(by_kind)}


def read_splits(path: Path) -> dict[str, int]:
    """The fold of each case in a file like nnU-Net's ``splits_final.json``: a list with "train" and "val" of each fold.

    Args:
        path: the file.

    Raises:
        UserError: if it is not such a list, or a case is not in the "val" of one fold and in the "train" of all others.
    """
    if not path.is_file():
        raise UserError(f"--splits {path} does not exist: give nnU-Net's splits_final.json")
    with naming(path):
        content = read_json(path)
        shaped = isinstance(content, list) and all(
            isinstance(fold, dict) and all(isinstance(fold.get(part), list) for part in ("train", "val"))
            for fold in content
        )
        if not shaped or len(content) < 2:
            raise ValueError('a list of two folds or more is needed, each with the names of cases in "train" and "val"')
        held_out = Counter(name for fold in content for name in fold["val"])
        for number, fold in enumerate(content):
            trained, validated = set(fold["train"]), set(fold["val"])
            if twice := sorted(name for name in validated if held_out[name] > 1):
                raise ValueError(f"{twice[0]} is in the val of several folds: each case needs one")
            if wrong := sorted((held_out.keys() - validated) ^ trained):
                state = "is not trained on" if wrong[0] not in trained else "is in the val of no other fold"
                raise ValueError(
                    f"{wrong[0]} {state} in fold {number}: each fold has to train on the val of all others"
                )
    return {name: number for number, fold in enumerate(content) for name in fold["val"]}


def with_splits(cases: Sequence[Source], folds: Mapping[str, int], path: Path) -> list[Source]:
    """Enter the folds of a file into the cases; those that it does not name are for the test.

    Raises:
        UserError: if it names a case that does not exist, or one for the test.
    """
    known = {case.name for case in cases if case.part != "test"}
    if strange := sorted(folds.keys() - known):
        raise UserError(f"--splits {path} names {strange[0]!r}, which is not a training case of the data set")
    return [
        replace(case, part="training" if case.name in folds else "test", fold=folds.get(case.name)) for case in cases
    ]


def _sorted(cases: list[Source]) -> list[Source]:
    return sorted(cases, key=lambda case: (PARTS.index(case.part), case.name))


def _take(order: list[str], kinds: Mapping[str, str]) -> set[str]:
    """Take a fifth of each kind away from the end of the list, one name at least."""
    taken: set[str] = set()
    for kind in sorted(set(kinds.values())):
        names = [name for name in order if kinds[name] == kind]
        taken.update(names[len(names) - round(len(names) / FIFTH) :])
    taken = taken or {order[-1]}
    order[:] = [name for name in order if name not in taken]
    return taken


def _group(name: str, group: str | None) -> str:
    if group is None:
        return name
    try:
        matched = re.search(group, name)
    except re.error as error:
        raise UserError(f"--group {group!r} is not a regular expression: {error}") from error
    if matched is None:
        raise UserError(f"--group {group!r} finds nothing in {name!r}")
    return matched[1] if matched.lastindex else matched[0]
