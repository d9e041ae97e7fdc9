"""Folds of a cross-validation: drawn, or read from nnU-Net's splits_final.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from components.files import read_json

from ..data.reading import naming
from ..errors import UserError
from .sources import Source


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
