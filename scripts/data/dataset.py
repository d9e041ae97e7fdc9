"""The folder that the bundles read: images, labels, ``datalist.json`` and ``dataset.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components import __version__
from components.files import read_json, write_text

from ..errors import UserError
from .labels import CLASSES

PARTS = ("training", "validation", "test")
FOLDERS = {"image": "images", "label": "labels", "instances": "instances"}
"""Keys of an item of a list, and the folder that holds the files."""
Item = dict[str, Any]
"""Relative paths by what they are; an image of several channels has a list of them."""


def item_paths(
    part: str, name: str, suffix: str = ".nii.gz", keys: Iterable[str] = ("image", "label"), channels: int = 1
) -> Item:
    """Item of a list: the relative paths of the files of a case.

    Args:
        part: "training", "validation" or "test".
        name: name of the case, without extension.
        suffix: extension of all files.
        keys: which files there are, of :data:`FOLDERS`.
        channels: number of files of the image; several are in folders of their own.

    Example:
        >>> item_paths("test", "case0001")
        {'image': 'images/test/case0001.nii.gz', 'label': 'labels/test/case0001.nii.gz'}
    """
    item: Item = {key: f"{FOLDERS[key]}/{part}/{name}{suffix}" for key in keys}
    if channels > 1:
        item["image"] = [f"{FOLDERS['image']}/{part}/{place:04d}/{name}{suffix}" for place in range(channels)]
    return item


def files_of(value: str | list[str]) -> list[str]:
    """The paths of an entry of an item."""
    return [value] if isinstance(value, str) else value


@dataclass
class Dataset:
    """What ``dataset.json`` says about a data set.

    Args:
        name: what it is called, the same for the same way of making it.
        bundle: the bundle that reads it.
        description: what the images show and what the labels are.
        modality: for example "CT".
        source: where the images come from.
        licence: under which terms they may be used.
        labels: names of the classes by number, background first.
        split: description of how the cases were divided.
        synthetic: whether a generator made the images.
        caution: what a reader of results on this data must know first; empty if there is nothing.
        details: further entries of ``dataset.json``.
    """

    name: str
    bundle: str
    description: str
    modality: str
    source: str
    licence: str
    labels: tuple[str, ...]
    split: str
    synthetic: bool = False
    caution: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, list[Item]] = field(default_factory=lambda: {part: [] for part in PARTS})

    def take(self, record: Mapping[str, Any]) -> None:
        """Enter what was written, a record of :class:`scripts.data.output.Output`."""
        for part, item in record["items"]:
            self.lists[part].append(item)
        self.details.setdefault("empty_labels", []).extend(record["empty"])

    def record(self) -> dict[str, Any]:
        """Content of ``dataset.json``."""
        return {
            "name": self.name,
            "bundle": self.bundle,
            "description": self.description,
            "modality": self.modality,
            "source": self.source,
            "licence": self.licence,
            "synthetic": self.synthetic,
            "caution": self.caution,
            "labels": {str(number): name for number, name in enumerate(self.labels)},
            "split": self.split,
            "number": {part: len(items) for part, items in self.lists.items()},
            **self.details,
            "scanseg_version": __version__,
        }

    def write(self, folder: Path) -> None:
        """Write ``datalist.json`` and ``dataset.json`` into a folder that holds the images and labels already."""
        for name, content in (("datalist", self.lists), ("dataset", self.record())):
            write_text(folder / f"{name}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def synthetic(name: str, bundle: str, module: str, of: str, **described: Any) -> Dataset:
    """The description of images that a generator of ours draws.

    Args:
        name: of the data set.
        bundle: the bundle that it is for.
        module: name of the generator's module.
        of: what scores on it say nothing about.
        described: further arguments of :class:`Dataset`: description, modality, split, details.
    """
    return Dataset(
        name=name,
        bundle=bundle,
        source=f"scripts/data/samples/{module.rpartition('.')[2]}.py of scanseg",
        licence="Apache-2.0",
        labels=CLASSES[bundle],
        synthetic=True,
        caution=f"These images are synthetic: this is a demonstration, and its scores say nothing about {of}.",
        **described,
    )


def is_complete(folder: Path, name: str, bundle: str) -> bool:
    """Whether a folder is a data set of this name for this bundle already.

    Raises:
        UserError: if it is, but files of it are missing.
    """
    if not (folder / "dataset.json").is_file():
        return False
    record = read_json(folder / "dataset.json")
    if (record.get("name"), record.get("bundle")) != (name, bundle):
        return False
    lists = read_json(folder / "datalist.json")
    paths = [
        folder / path
        for items in lists.values()
        for item in items
        for entry in item.values()
        for path in files_of(entry)
    ]
    if missing := [path for path in paths if not path.is_file()]:
        raise UserError(
            f"{len(missing)} files of {folder} are missing, the first is {missing[0]}: delete {folder} first"
        )
    return True
