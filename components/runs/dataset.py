"""The data set of a run: whether it has the lists and files that the run needs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

SHOWN = 3
MAKE = "`scanseg data prepare` and `scanseg data sample` make a data set, see the documentation of the bundle"


def check_dataset(dataset_dir: Any, lists: Sequence[str], folder_of_images: bool = False) -> None:
    """Look whether a data set has what a run needs; arguments and errors as of :func:`components.runs.start`."""
    if not isinstance(dataset_dir, str | os.PathLike):
        raise ValueError(f"dataset_dir is {dataset_dir!r}, but a folder is needed")
    folder = Path(dataset_dir)
    path = folder / "datalist.json"
    if not folder.is_dir():
        raise FileNotFoundError(f"dataset_dir {folder} does not exist: give one with --dataset_dir; {MAKE}")
    if not path.is_file():
        if folder_of_images:
            return
        raise FileNotFoundError(f"dataset_dir {folder} has no datalist.json: give another --dataset_dir; {MAKE}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): make the data set again; {MAKE}") from None
    for name in lists:
        items = content.get(name) if isinstance(content, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
            raise ValueError(f"{path} needs a list of items {name!r}, but has {found or 'nothing'}; {MAKE}")
        if name == lists[0] and not items:
            raise ValueError(f"{path}: the list {name!r} is empty: there is nothing to do")
        _check_files(path, name, items)


def _check_files(path: Path, name: str, items: Sequence[Mapping[str, Any]]) -> None:
    files = [file for item in items for file in _files(item)]
    if wrong := [item for item in items if "image" not in item]:
        raise ValueError(f"{path}: an item of {name!r} has no image: {json.dumps(wrong[0], ensure_ascii=False)[:120]}")
    if missing := [file for file in files if not (path.parent / file).is_file()]:
        shown = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
        raise FileNotFoundError(
            f"{len(missing)} of {len(files)} files of the list {name!r} in {path} are missing: {shown}; bring them "
            f"back, or make the data set again: `scanseg data check {path.parent}` lists all faults"
        )


def _files(item: Mapping[str, Any]) -> Iterator[str]:
    for key in ("image", "label", "instances"):
        value = item.get(key, [])
        yield from map(str, value if isinstance(value, list) else [value])
