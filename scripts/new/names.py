"""Names that a new bundle and its classes can have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..data.labels import CLASSES
from ..errors import UserError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def check_name(name: str) -> None:
    """Raise UserError unless a name can be that of a bundle."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be the name of a bundle: letters, digits and underscores are allowed, and a letter first"
        )
    if "_v" in name:
        raise UserError(
            f"{name!r} cannot be the name of a bundle: MONAI takes what follows '_v' for a version; write it without"
        )
    if name in CLASSES:
        raise UserError(f"{name!r} is a bundle of scanseg: choose another name")


def check_classes(names: Iterable[str], data: Path) -> None:
    """Raise UserError where MONAI would take the name of a class in a config for a reference or an expression."""
    for name in names:
        if name.startswith(("$", "@", "%")) or "#" in name or "::" in name:
            raise UserError(
                f"{data} has a class {name!r}, whose name means something else in MONAI's configs: rename it, without "
                f"# and ::, and without $, @ or % at its beginning"
            )


def check_target(target: Path, force: bool) -> None:
    """Raise UserError if the folder exists and is not to make room."""
    if (target.exists() or target.is_symlink()) and not force:
        raise UserError(f"{target} exists: choose another name, or rename the old one with --force")
