"""All that is uploaded for a release, in one folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from components.files import replacing, write_text

from ..errors import UserError
from ..files import hexdigest
from ..tables import markdown
from .archive import SUMS
from .contents import git
from .entries import Entry, Index, write_index
from .formats import current, large_files, model_info

NOTES = "RELEASE_NOTES.md"


def check_committed(root: Path, names: list[str]) -> None:
    """Raise UserError unless all that goes into the zips of these bundles is committed."""
    folders = ["components", "LICENSE", *(f"bundles/{name}" for name in names)]
    changes = git(root, "status", "--porcelain", "--", *folders)
    if changes is None:
        raise UserError(f"{root} is not a checkout of git: releases are made from a commit")
    if changes:
        first = changes.splitlines()[0].strip()
        raise UserError(f"what is released must be committed, but git status says {first!r}: commit or remove it")


def write_release(index: Index, folder: Path, weights: dict[str, Path | None], changelog: Path) -> None:
    """Complete a folder of zips: indexes, weights, hashes and release notes.

    Args:
        index: the index.
        folder: folder with the zips; those of the index that lie there are what is released.
        weights: the weights of bundles that were packed now, by name.
        changelog: CHANGELOG.md of the project.
    """
    for entry in current(index):
        path = weights.get(entry["name"])
        if path is not None and entry["weights"].get("sha256") == hexdigest(path):
            with replacing(folder / entry["weights"]["file"]) as partial:
                shutil.copyfile(path, partial)
    released = [entry for entry in current(index) if is_the_file(folder / entry["file"], entry["sha256"])]
    write_index(folder / "model_zoo.json", index)
    write_text(folder / "model_info.json", model_info(index))
    write_text(folder / "large_files.yml", large_files(index))
    write_text(folder / NOTES, notes(released, changelog.read_text(encoding="utf-8")))
    files = ["model_zoo.json", "model_info.json", "large_files.yml", NOTES]
    for entry in released:
        model = entry["weights"].get("file", "")
        files += [entry["file"], *([model] if model and (folder / model).is_file() else [])]
    write_text(folder / SUMS, "".join(f"{hexdigest(folder / name)}  {name}\n" for name in sorted(files)))


def notes(released: list[Entry], changelog: str) -> str:
    """Release notes as Markdown: the bundles with what is new in them, and the project's changelog of this version.

    Args:
        released: entries of the index.
        changelog: text of CHANGELOG.md.
    """
    rows = [(e["name"], e["version"], e["weights"]["kind"], e["changelog"], f"`{e['sha256']}`") for e in released]
    table = markdown(rows, ("bundle", "version", "weights", "new", "sha256 of the zip"))
    section = _section(changelog, {entry["components_version"] for entry in released})
    return "\n".join(["# Release notes", "", table, "", section]).rstrip() + "\n"


def _section(changelog: str, versions: set[str]) -> str:
    """Sections of a changelog for these versions, or what is unreleased where there are none."""
    parts = re.split(r"(?m)^(?=## )", changelog)[1:]
    chosen = [part for part in parts if any(part.startswith((f"## [{v}]", f"## {v}")) for v in versions)]
    chosen = chosen or [part for part in parts if part.startswith("## [Unreleased]")]
    return "\n".join(part.strip() for part in chosen)


def is_the_file(path: Path, digest: str) -> bool:
    """Whether a file is there and has this SHA-256."""
    return path.is_file() and hexdigest(path) == digest
