"""How a data set as published is recognised in a folder, and what is to be made of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.images.orientation import DISPLAY

from ..errors import UserError
from .dataset import Dataset

HELD_OUT = (
    "of the training {cases} in the order of their names, divided into as many equal runs as a fifth of their number, "
    "the middle one of each run"
)
"""Description of the rule of :func:`held_out`."""


@dataclass(frozen=True)
class RawCase:
    """A piece of work: what becomes one or several items of a list.

    Args:
        name: name of the case, unique in its part.
        part: "training", "validation" or "test".
        files: the files that it is made of, by what they are.
        axcodes: where the axes of a volume are to point to; "stored" leaves them as they are in the files.
    """

    name: str
    part: str
    files: Mapping[str, Path | Sequence[Path]]
    axcodes: str = DISPLAY

    @property
    def key(self) -> str:
        """Name that is unique in the data set."""
        return f"{self.part}_{self.name}"


Converter = Callable[[RawCase, Path], "dict[str, Any]"]
"""Makes the files of a case in a folder and returns :meth:`Output.record`."""


@dataclass(frozen=True)
class ConversionPlan:
    """What is to be made of the files that were found.

    Args:
        cases: the pieces of work, in the order of the lists.
        convert: makes the files of a case; it runs in other processes.
        dataset: the description, still without lists.
        notes: what the user should know about the files that were found.
    """

    cases: list[RawCase]
    convert: Converter
    dataset: Dataset
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """One of the forms in which a data set is in circulation.

    Args:
        name: what it is called.
        wanted: the files that it consists of, as told to a user whose folder has none of them.
        find: makes the plan from the files of a folder; None if it is not this layout.
    """

    name: str
    wanted: str
    find: Callable[[Files], ConversionPlan | None]


class Files:
    """The files below a folder; hidden ones are left out.

    Args:
        root: the folder.

    Raises:
        UserError: if there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UserError(f"--source {root} is not a folder: give the folder that the data set was unpacked to")
        self.root = root
        relative = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        self.paths = sorted(path.as_posix() for path in relative if not any(p.startswith(".") for p in path.parts))
        self.name = root.resolve().name

    def match(self, pattern: str) -> dict[tuple[str, ...], Path]:
        """Files whose path, the folder's own name included, ends in a pattern.

        Args:
            pattern: regular expression, whose named groups distinguish the files; it is compared
                without regard to case, and starts at the beginning of a name of a folder or file.

        Returns:
            Path by the named groups of the match, numbers without leading zeros, in the order of the groups.

        Raises:
            UserError: if two files have the same groups.
        """
        compiled = re.compile(rf"(?:^|.*/){pattern}$", re.IGNORECASE)
        found: dict[tuple[str, ...], Path] = {}
        for path in self.paths:
            if matched := compiled.match(f"{self.name}/{path}"):
                key = tuple(_plain(text) for text in matched.groupdict().values())
                if key in found:
                    other = found[key].relative_to(self.root)
                    raise UserError(f"{other} and {path} are the same case: point --source to one of them")
                found[key] = self.root / path
        return dict(sorted(found.items(), key=lambda entry: [_order(text) for text in entry[0]]))


def recognise(bundle: str, layouts: Iterable[Layout], root: Path) -> tuple[Layout, ConversionPlan]:
    """Find out in which layout a data set lies in a folder.

    Args:
        bundle: name of the bundle.
        layouts: those that are known.
        root: the folder.

    Returns:
        The layout and the plan.

    Raises:
        UserError: if it is none of the layouts, or more than one.
    """
    layouts = list(layouts)
    files = Files(root)
    found = [(layout, plan) for layout in layouts if (plan := layout.find(files)) is not None]
    if not found:
        wanted = "; or ".join(f"{layout.name}: {layout.wanted}" for layout in layouts)
        raise UserError(f"{root} has no data for {bundle} in a known layout. Looked for {wanted}")
    if len(found) > 1:
        names = " and ".join(layout.name for layout, _ in found)
        raise UserError(f"{root} has {names}: point --source to the folder of one of them")
    return found[0]


def held_out(groups: Iterable[str]) -> set[str]:
    """Choose a fifth of the training cases for validation, evenly spread over the sorted names (see HELD_OUT).

    Args:
        groups: names of what must stay together.

    Raises:
        UserError: if there is only one.

    Example:
        >>> sorted(held_out("abcdefghij"))
        ['c', 'h']
    """
    names = sorted(set(groups), key=_order)
    if len(names) < 2:
        raise UserError(f"{len(names)} training case is not enough: one for training and one for validation are needed")
    count = max(1, round(len(names) / 5))
    return {names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)}


def pairs(
    images: Mapping[tuple[str, ...], Path], labels: Mapping[tuple[str, ...], Path]
) -> tuple[dict[tuple[str, ...], dict[str, Path]], list[str]]:
    """Bring together images and labels of the same key.

    Returns:
        ``{"image": …, "label": …}`` by key, and a note about those that have no partner.
    """
    both = {key: {"image": images[key], "label": labels[key]} for key in images if key in labels}
    notes = [
        f"left out: {len(alone)} {what}, the first is {alone[0]}"
        for what, alone in (
            ("images without label", [path for key, path in images.items() if key not in labels]),
            ("labels without image", [path for key, path in labels.items() if key not in images]),
        )
        if alone
    ]
    return both, notes


def check_gaps(name: str, numbers: Iterable[int]) -> None:
    """Raise UserError unless the slices of a case are numbered from 0 or 1 on without a gap.

    Example:
        >>> check_gaps("case0005", [1, 2, 3])
    """
    found = sorted(numbers)
    first = found[0] if found[0] < 2 else 0
    if missing := sorted(set(range(first, found[-1])) - set(found)):
        raise UserError(f"{name} has {len(found)} slices up to number {found[-1]}, but not number {missing[0]}")


def missing_cases(found: Iterable[int], expected: Iterable[int]) -> list[str]:
    """Note about the cases of the published data set that are not there."""
    expected = list(expected)
    missing = sorted(set(expected) - set(found))
    if not missing:
        return []
    shown = ", ".join(map(str, missing[:12])) + (", …" if len(missing) > 12 else "")
    return [f"{len(missing)} of the {len(expected)} published cases are missing: {shown}"]


def _plain(text: str | None) -> str:
    return text.lstrip("0") or "0" if text and text.isdigit() else text or ""


def _order(text: str) -> list[tuple[int, int, str]]:
    pieces = re.split(r"(\d+)", text)
    return [(1, int(piece), "") if piece.isdigit() else (0, 0, piece) for piece in pieces if piece]
