"""``bundle list``: the bundles that commands find by name."""

from __future__ import annotations

from components.files import read_json

from .find import bundle_names, find_bundle


def list_bundles() -> None:
    """List the bundles that commands find by name: those in ./bundles, and those of scanseg.

    Example:
        scanseg bundle list
    """
    names = bundle_names()
    width = max(map(len, names), default=0)
    for name in names:
        folder = find_bundle(name, "metadata.json")
        metadata = read_json(folder / "configs" / "metadata.json")
        weights = "" if (folder / "models" / "model.pt").is_file() else ", without weights"
        print(f"{name:<{width}}  {metadata.get('version', '')}  {metadata.get('name', '')}{weights}  ({folder})")
