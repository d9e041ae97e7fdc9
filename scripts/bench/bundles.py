"""The configs of a bundle as they are measured."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.files import read_json

from ..bundle.find import find_bundle


def config(bundle: str, values: Mapping[str, Any] | None = None) -> tuple[Path, dict[str, Any]]:
    """Folder of a bundle and its train.json.

    Args:
        bundle: its name.
        values: overrides by id, nested ones with ``#``.
    """
    root = find_bundle(bundle)
    content = copy.deepcopy(read_json(root / "configs" / "train.json"))
    for key, value in (values or {}).items():
        *path, last = key.split("#")
        place = content
        for part in path:
            place = place[part]
        place[last] = value
    return root, content
