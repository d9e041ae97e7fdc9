"""What the labels of a data set mean beside one class each: regions that overlap, and voxels to be ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.files import read_json

IGNORE = "ignore"
"""Name of the label of unlabelled voxels, as in nnU-Net."""


@dataclass(frozen=True)
class Labelling:
    """Regions and ignored voxels of a data set; without arguments every label is a class of its own.

    Args:
        regions: the labels of each region, by its name; empty if classes exclude each other.
        order: the label that each region writes into a label map, in the order of ``regions``; later ones overwrite.
        ignore: label of unlabelled voxels, or None.
    """

    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    order: tuple[int, ...] = ()
    ignore: int | None = None

    @property
    def plain(self) -> bool:
        """Whether every label is a class of its own."""
        return not self.regions and self.ignore is None

    def mapped(self, table: Mapping[int, int]) -> Labelling:
        """The same for label maps with other numbers: ``table`` has the new number of each."""
        return Labelling(
            {name: tuple(table[label] for label in labels) for name, labels in self.regions.items()},
            tuple(table[label] for label in self.order),
            None if self.ignore is None else table[self.ignore],
        )

    def record(self) -> dict[str, Any]:
        """Its entries of a ``dataset.json``; none where every label is a class of its own."""
        regions = {"regions": {name: list(labels) for name, labels in self.regions.items()}} if self.regions else {}
        order = {"regions_class_order": list(self.order)} if self.regions else {}
        return regions | order | ({} if self.ignore is None else {"ignore_label": self.ignore})

    def notes(self) -> list[str]:
        """What a user should know, one sentence each."""
        notes = []
        if self.regions:
            named = "; ".join(f"{name} is {', '.join(map(str, labels))}" for name, labels in self.regions.items())
            written = ", ".join(f"{label} {name}" for name, label in zip(self.regions, self.order, strict=True))
            notes.append(f"the classes are regions that may overlap ({named}), written in the order {written}")
        if self.ignore is not None:
            notes.append(f"voxels with the label {self.ignore} are ignored in training and scores")
        return notes


def recorded(record: Mapping[str, Any]) -> Labelling:
    """What the ``dataset.json`` of a dataset_dir says, the entries of :meth:`Labelling.record`.

    Raises:
        ValueError: if they do not fit each other or the labels.
    """
    labels, regions, ignore = record.get("labels") or {}, record.get("regions") or {}, record.get("ignore_label")
    if not regions and ignore is None:
        return Labelling()
    classes = regions or {name: number for number, name in labels.items() if str(number) != str(ignore)}
    known = classes if ignore is None else {**classes, IGNORE: ignore}
    names, found = understood({"background": 0, **known}, record.get("regions_class_order"), forced=bool(regions))
    if strange := sorted(set(names) - {0} - {int(number) for number in labels}):
        raise ValueError(f'"labels" has no {strange[0]}, which "regions" or "ignore_label" names')
    return found


def read_labels(dataset_json: Path) -> tuple[dict[int, str], Labelling]:
    """Labels of an nnU-Net dataset.json of either version, regions and the ignore label included.

    Returns:
        Name of each number, and what they mean. Of regions a number is called as the region that writes it.

    Raises:
        ValueError: if the file has no labels, or they are not what nnU-Net takes.
        FileNotFoundError: if there is no such file.
    """
    content = read_json(dataset_json)
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, dict):
        raise ValueError(f'"labels" is {labels!r}, but names and numbers of classes are needed')
    if all(str(key).isdigit() for key in labels):
        labels = {name: number for number, name in labels.items()}
    return understood(labels, content.get("regions_class_order"))


def understood(labels: Mapping[str, Any], order: Any, forced: bool = False) -> tuple[dict[int, str], Labelling]:
    """Name of each number and the meaning of labels as nnU-Net has them, see :func:`read_labels`.

    Args:
        labels: a number, or a list of numbers, by name.
        order: content of ``regions_class_order``, or None.
        forced: whether the classes are regions even if each has one label.

    Raises:
        ValueError: if they are not what nnU-Net takes.
    """
    sets = {name: _numbers(name, value) for name, value in labels.items()}
    ignored = next((name for name in sets if name.lower() == IGNORE), None)
    ignore = None if ignored is None else _ignored(ignored, sets)
    classes = {name: values for name, values in sets.items() if values != (0,) and name != ignored}
    named = {0: next((name for name, values in sets.items() if values == (0,)), "background")}
    if not forced and all(len(values) == 1 for values in classes.values()):
        found = Labelling(ignore=ignore)
        named |= {values[0]: name for name, values in sorted(classes.items(), key=lambda item: item[1])}
    else:
        found = Labelling(classes, _order(order, classes), ignore)
        written = dict(zip(found.order, classes, strict=True))
        every = sorted({value for values in classes.values() for value in values})
        named |= {value: written.get(value, f"label {value}") for value in every}
    return named if ignore is None else {**named, ignore: IGNORE}, found


def _numbers(name: str, value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    if strange := [v for v in values if isinstance(v, bool) or not str(v).isdigit()]:
        raise ValueError(f"class {name!r} has the number {strange[0]!r}, a whole number is needed")
    if not values or (0 in map(int, values) and len(values) > 1):
        raise ValueError(f"class {name!r} has the labels {value!r}, but whole numbers from 1 on are needed")
    return tuple(sorted({int(v) for v in values}))


def _ignored(name: str, sets: Mapping[str, tuple[int, ...]]) -> int:
    highest = max((v for other, values in sets.items() if other != name for v in values), default=0)
    if len(sets[name]) > 1 or sets[name][0] <= highest:
        raise ValueError(
            f"the label {name!r} is {', '.join(map(str, sets[name]))}, but one number above all others is needed, as "
            f"nnU-Net has it: {highest + 1}"
        )
    return sets[name][0]


def _order(order: Any, classes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    if not isinstance(order, list) or len(order) != len(classes) or not all(str(v).isdigit() for v in order):
        state = "is missing" if order is None else f"is {order!r}"
        raise ValueError(
            f'"regions_class_order" {state}, but a list of labels is needed, one for each of the regions: '
            f"{', '.join(classes)}"
        )
    numbers = tuple(int(v) for v in order)
    for (name, labels), number in zip(classes.items(), numbers, strict=True):
        if number not in labels:
            raise ValueError(
                f'"regions_class_order" writes {number} for {name!r}, which is not among its labels '
                f"{', '.join(map(str, labels))}: the written label would not count as {name!r}"
            )
    if len(set(numbers)) != len(numbers):
        raise ValueError(f'"regions_class_order" is {order!r}, but each region needs a label of its own')
    return numbers
