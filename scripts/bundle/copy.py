"""``bundle copy``: a bundle to change."""

from __future__ import annotations

from pathlib import Path

from components.files import read_json

from ..files import new_folder
from .contents import copy_bundle
from .find import find_bundle


def copy(name: str, out: str | None = None) -> None:
    """Copy a bundle with the components that it runs, to change it or to take it to another machine.

    The folder is complete: MONAI runs it in any place, also where scanseg is not installed. Weights are copied where
    the bundle has some.

    Args:
        name: name or folder of the bundle.
        out: folder to make; by default the name of the bundle in the current folder.

    Example:
        scanseg bundle copy msvm_acdc --out my_bundle
    """
    source = find_bundle(name, "metadata.json", "bundle")
    target = Path(source.name if out is None else out)
    with new_folder(target) as partial:
        copy_bundle(source, partial)
    version = read_json(target / "configs" / "metadata.json").get("version", "")
    print(f"{target} is ready: {source.name} {version} with its components")
