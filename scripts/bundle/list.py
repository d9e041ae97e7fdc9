"""``bundle list``: the bundles that commands find by name."""

from __future__ import annotations

from components.files import read_json

from ..tables import aligned
from .find import bundle_names, find_bundle


def list_bundles() -> None:
    """List the bundles that commands find by name: those in ./bundles, and those of scanseg.

    Example:
        scanseg bundle list
    """
    rows = []
    for name in bundle_names():
        folder = find_bundle(name, "metadata.json")
        metadata = read_json(folder / "configs" / "metadata.json")
        weights = "" if (folder / "models" / "model.pt").is_file() else ", without weights"
        rows.append((name, metadata.get("version", ""), f"{metadata.get('name', '')}{weights}  ({folder})"))
    print(aligned(rows))
