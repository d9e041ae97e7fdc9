"""The files of a bundle, copied, and the components that go with it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ..installed import is_copy
from .find import ROOT

FILES = re.compile(r"LICENSE|configs/[^/]+\.(json|conf)|docs/.+|models/(model\.pt|weights\.json)")
"""What a bundle consists of, beside components; data and outputs may lie in its folder as well."""


def copy_bundle(source: Path, target: Path) -> None:
    """Copy a bundle with its weights, so that it works in any place.

    Args:
        source: its folder.
        target: folder to copy into.
    """
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_file() and FILES.fullmatch(name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)
    add_components(target, source)


def add_components(target: Path, source: Path) -> None:
    """Put the components into a bundle: its own copy, that its configs find first.

    Args:
        target: folder of the bundle.
        source: the bundle that it was made from: its own components are taken where it has some, else those that run.
    """
    own = source / "components"
    shutil.copytree(
        own if own.is_dir() else ROOT / "components",
        target / "components",
        ignore=shutil.ignore_patterns("__pycache__"),
        dirs_exist_ok=True,
    )


def has_neighbour(bundle: Path) -> bool:
    """Whether a bundle finds components two folders up, as ``bundles/NAME`` of the repository does."""
    return is_copy([bundle.resolve().parents[1] / "components"])
