"""What made the files of a case: one small JSON file beside them, so that finished work is known and not repeated.

Each case has a record of its own, and so several processes can write into one folder without waiting for each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components import __version__
from components.files import read_json, write_text

from ..errors import UserError
from .cases import Case
from .predictor import Predictor

LABELS, CHANNELS = "labels.json", "channels.json"
"""Names of the values of label maps; those of the regions whose probabilities are written, in their order."""
DONE, TO_DO, CHANGED, FOREIGN = "done", "to do", "changed", "foreign"
"""States of a case: its files are there; they are to be made; they were made of another image or with other settings;
files of these names are there, but nothing says how they were made."""


@dataclass(frozen=True)
class Settings:
    """What the labels depend on, besides the image; of several files the hashes with commas between them."""

    bundle: str
    bundle_version: str
    config_sha256: str
    weights_sha256: str
    override: Mapping[str, Any]
    tta: bool
    amp: bool

    @classmethod
    def of(cls, predictor: Predictor) -> Settings:
        """Settings of a predictor."""
        bundle = predictor.bundle
        stages = [predictor] if predictor.previous is None else [predictor, predictor.previous]
        return cls(
            bundle=bundle.name,
            bundle_version=bundle.version,
            config_sha256=",".join(stage.bundle.config_sha256 for stage in stages),
            weights_sha256=",".join(sha256 for stage in stages for sha256 in stage.weights_sha256),
            override=bundle.override,
            tta=predictor.tta,
            amp=predictor.amp,
        )

    def as_json(self) -> dict[str, Any]:
        """The settings as they come out of a JSON file."""
        return json.loads(json.dumps(asdict(self)))


def state(folder: Path, case: Case, names: Mapping[str, str], settings: Settings) -> str:
    """State of a case in the output folder.

    Args:
        folder: the output.
        case: the case.
        names: names of its files that are wanted.
        settings: how it is to be made.
    """
    record = _read(folder, case, names)
    if record is None:
        return FOREIGN if any((folder / name).exists() for name in names.values()) else TO_DO
    if record.get("settings") != settings.as_json() or record.get("image") != _image(case):
        return CHANGED
    made = set(record.get("files", ()))
    if any((folder / name).exists() for name in set(names.values()) - made):
        return FOREIGN
    return DONE if all(name in made and (folder / name).is_file() for name in names.values()) else TO_DO


def begin(folder: Path, case: Case, names: Mapping[str, str], settings: Settings) -> None:
    """Write the record of a case, before its files.

    What an older record names is deleted first: whoever is killed in between leaves a case that is not complete, never
    an old file with a new record.
    """
    old = _read(folder, case, names) or {}
    for name in {*old.get("files", ()), *names.values()}:
        if Path(name).name == name:
            (folder / name).unlink(missing_ok=True)
    record = {
        "case": case.name,
        "image": _image(case),
        "settings": settings.as_json(),
        "files": list(names.values()),
        "scanseg_version": __version__,
    }
    write_text(_path(folder, case, names), json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def write_labels(folder: Path, names: Mapping[int, str], overwrite: bool, file: str = LABELS) -> None:
    """Write ``labels.json``, the name of each value of the label maps, or ``channels.json``, that of each probability.

    Raises:
        UserError: if one with other names is there and is not to be replaced.
    """
    path = folder / file
    content = {str(number): name for number, name in sorted(names.items())}
    if path.is_file():
        if _json(path) == content:
            return
        if not overwrite:
            raise UserError(f"{path} has other labels: give another --output, or --overwrite to replace what is there")
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_labels(folder: Path, file: str = LABELS) -> dict[int, str]:
    """What :func:`write_labels` wrote; empty if there is no such file."""
    path = folder / file
    return {int(number): str(name) for number, name in read_json(path).items()} if path.is_file() else {}


def _path(folder: Path, case: Case, names: Mapping[str, str]) -> Path:
    postfix = next(iter(names))
    return folder / f"{case.name}_{postfix}.json"


def _read(folder: Path, case: Case, names: Mapping[str, str]) -> dict[str, Any] | None:
    path = _path(folder, case, names)
    record = _json(path) if path.is_file() else None
    return record if isinstance(record, dict) and "settings" in record else None


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except ValueError:
        return None


def _image(case: Case) -> dict[str, Any]:
    stats = [path.stat() for path in case.files if path.exists()]
    return {
        "source": case.source,
        "files": len(case.files),
        "bytes": sum(stat.st_size for stat in stats),
        "modified_ns": max((stat.st_mtime_ns for stat in stats), default=0),
    }
