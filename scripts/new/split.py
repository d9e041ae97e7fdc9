"""Which cases are for training, for validation and for the test."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace

from ..data.dataset import PARTS
from ..errors import UserError
from .sources import Source, Sources

FIFTH = 5
"""One case of so many is held out."""


def split(
    sources: Sources, seed: int, group: str | None = None, looks: Mapping[str, str] | None = None
) -> tuple[list[Source], str]:
    """Divide the cases.

    The test is what the data set brings with labels, or else a fifth of all cases; of the others a fifth selects the
    model. The lists of a dataset_dir are kept. The same cases and seed give the same lists.

    Args:
        sources: the cases.
        seed: of the random order.
        group: regular expression; cases in whose names it finds the same text stay together.
        looks: kind of image of each case, by its name, such as :attr:`scripts.new.measure.CaseFacts.look`; each kind
            is divided by itself, so that none is missing where there are some of it. None for a single kind.

    Returns:
        The cases with their list, those of each list in the order of their names, and the division in words.

    Raises:
        UserError: if there are too few cases, or ``group`` is no expression that fits every name.
    """
    if sources.ready:
        for part in PARTS:
            if not any(case.part == part for case in sources.cases):
                raise UserError(f"{sources.root / 'datalist.json'} has no {part} cases")
        return list(sources.cases), str(sources.record.get("split", "")) or "the lists of the data set"
    groups = {case.name: _group(case.name, group) for case in sources.cases}
    test = {groups[case.name] for case in sources.cases if case.part == "test"}
    others = {groups[case.name] for case in sources.cases if case.part != "test"}
    if shared := test & others:
        raise UserError(f"--group: {sorted(shared)[0]!r} is both in training and in the test set")
    what = "cases" if group is None else "groups"
    words = f"Test: the {what} of imagesTs." if test else f"Test: a random fifth of the {what}."
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
    validation = _take(order, kinds)
    if len(set(kinds.values())) > 1:
        words += f" Each kind of image ({', '.join(sorted(set(kinds.values())))}) is divided by itself."
    parts = dict.fromkeys(test, "test") | dict.fromkeys(validation, "validation")
    cases = [replace(case, part=parts.get(groups[case.name], "training")) for case in sources.cases]
    cases.sort(key=lambda case: (PARTS.index(case.part), case.name))
    return cases, f"{words} Validation: a random fifth of the other {what}, seed {seed}."


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
        raise UserError(f"--group {group!r} is no regular expression: {error}") from error
    if matched is None:
        raise UserError(f"--group {group!r} finds nothing in {name!r}")
    return matched[1] if matched.lastindex else matched[0]
