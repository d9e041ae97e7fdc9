"""The folder that the bundles read: images, labels, ``datalist.json`` and ``dataset.json``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components import __version__
from components.files import write_text

from ..errors import UserError

PARTS = ("training", "validation", "test")
Item = dict[str, str]


@dataclass
class Dataset:
    """What ``dataset.json`` tells about a data set.

    Args:
        name: what it is called, the same for the same way of making it.
        bundle: the bundle that reads it.
        description: what the images show and what the labels are.
        modality: for example "CT".
        source: where the images come from.
        licence: under which terms they may be used.
        labels: names of the classes by number, background first.
        split: how the cases were divided, in words.
        synthetic: whether a generator made the images.
        caution: what a reader of results on this data must know first; empty where there is nothing.
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
    lists: dict[str, list[Item]] = field(default_factory=lambda: {part: [] for part in PARTS})

    def add(self, part: str, name: str) -> tuple[Path, Path]:
        """Enter a case into the list of a part and tell the relative paths of its image and its label.

        Args:
            part: "training", "validation" or "test".
            name: name of the case, without extension.
        """
        item = {key: f"{key}s/{part}/{name}.nii.gz" for key in ("image", "label")}
        self.lists[part].append(item)
        return Path(item["image"]), Path(item["label"])

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
            "scanseg_version": __version__,
        }

    def write(self, folder: Path) -> None:
        """Write ``datalist.json`` and ``dataset.json`` into a folder that holds the images and labels already."""
        for name, content in (("datalist", self.lists), ("dataset", self.record())):
            write_text(folder / f"{name}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        ValueError: if it is not JSON.
        FileNotFoundError: if there is no such file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``out`` when all went well and leaves nothing where not.

    Args:
        out: the folder to be; it may exist if it is empty.

    Raises:
        UserError: if ``out`` is a file or holds files.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"{out} exists and is not empty: choose another folder with --out, or delete it")
    out = out.resolve()
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.is_dir():
            out.rmdir()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
    paths = [folder / path for items in lists.values() for item in items for path in item.values()]
    if missing := [path for path in paths if not path.is_file()]:
        raise UserError(
            f"{len(missing)} files of {folder} are missing, the first is {missing[0]}: delete {folder} first"
        )
    return True
