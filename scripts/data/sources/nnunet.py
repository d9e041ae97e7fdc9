"""nnU-Net's raw layout: imagesTr, labelsTr, imagesTs, labelsTs and dataset.json."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from components.files import case_name

from ...errors import UserError
from ..labelling import Labelling, read_labels
from ..labels import CLASSES, table_by_name
from ..layouts import HELD_OUT, Files, RawCase, held_out, pairs
from ..reading import naming

Pairs = dict[str, dict[str, Path]]
CHANNEL = re.compile(r"_(\d{4})$")
"""End of the name of a file that is one channel of a case."""


def find_pairs(
    files: Files, images: str, labels: str, suffix: str, channel: str = "_0000", tail: str = ""
) -> tuple[Pairs, list[str]]:
    """Images and labels of a pair of folders.

    Args:
        files: the files.
        images: folder of the images.
        labels: folder of the labels.
        suffix: their extension, as a regular expression.
        channel: what follows the name of the case in the names of the images.
        tail: what may follow it in the names of the labels, as a regular expression with the extension.

    Returns:
        ``{"image": …, "label": …}`` by the name of the case, and notes about files without partner.

    Raises:
        UserError: if the images have more than one file each.
    """
    if channel and (more := files.match(rf"{images}/(?P<case>[^/]+)_0001{suffix}")):
        raise UserError(f"{next(iter(more.values()))}: each image must be one file, without further channels")
    found, notes = pairs(
        files.match(rf"{images}/(?P<case>[^/]+){channel}{suffix}"),
        files.match(rf"{labels}/(?P<case>[^/]+?){tail or suffix}"),
    )
    return {case_name(pair["image"]).removesuffix(channel): pair for pair in found.values()}, notes


def dataset_json(cases: Pairs) -> Path:
    """The dataset.json that belongs to the images of some cases."""
    return next(iter(cases.values()))["image"].parent.parent / "dataset.json"


def label_names(json_file: Path) -> dict[int, str]:
    """Names of the classes by their number, from a dataset.json of either version.

    Raises:
        UserError: if there is no such file, or it has no numbered classes, or regions or ignored voxels.
    """
    names, labelling = labels_of(json_file)
    if not labelling.plain:
        raise UserError(
            f"{json_file}: it has regions or a label to be ignored, which this bundle does not support: make "
            "one that does with `scanseg new`"
        )
    return names


def labels_of(json_file: Path) -> tuple[dict[int, str], Labelling]:
    """Names of the labels by their number, and what they mean.

    Raises:
        UserError: if there is no such file, or it has no numbered classes.
    """
    if not json_file.is_file():
        raise UserError(f"{json_file} is missing: it names the classes")
    with naming(json_file):
        return read_labels(json_file)


def label_table(
    bundle: str, json_file: Path, ignored: Collection[str] = ()
) -> tuple[dict[int, int], tuple[int, ...], list[str]]:
    """Table from the numbers of a dataset.json to those of a bundle, by name.

    Args:
        bundle: name of the bundle.
        json_file: the file.
        ignored: names of classes that become background, in lower case.

    Returns:
        The table, the numbers that become background, and notes.

    Raises:
        UserError: if a class is neither in the bundle nor to be ignored.
    """
    table, others = table_by_name(bundle, label_names(json_file))
    if strange := [name for name in others.values() if name.lower() not in ignored]:
        raise UserError(f"{json_file}: {bundle} has no class {strange[0]!r}; it has {', '.join(CLASSES[bundle][1:])}")
    missing = [name for number, name in enumerate(CLASSES[bundle]) if number and number not in table.values()]
    notes = [f"{json_file} has no class {', '.join(missing)}"] if missing else []
    return table, tuple(others), notes


def divided(training: Pairs, test: Pairs, groups: Mapping[str, str] | None = None) -> list[RawCase]:
    """Cases of all parts: a fifth of the training groups is held out for validation.

    Args:
        training: training cases by name.
        test: test cases by name.
        groups: group of each training case; by default each case is its own.
    """
    groups = groups or {name: name for name in training}
    validation = held_out(groups[name] for name in training)
    parts = {name: "validation" if groups[name] in validation else "training" for name in training}
    cases = [RawCase(name, part, training[name]) for part in ("training", "validation") for name in training
             if parts[name] == part]  # fmt: skip
    return cases + [RawCase(name, "test", pair) for name, pair in test.items()]


def split_words(test: str, group: str = "cases") -> str:
    """Description of the division, for dataset.json."""
    return f"Validation: {HELD_OUT.format(cases=group)}. Test: {test}"
