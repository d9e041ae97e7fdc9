"""Settings of the bundles' networks that a published file may need, as flags."""

from __future__ import annotations

import json
import shlex
from typing import Any

SHORTCUTS = ("variant", "encoder")
"""Those that have a flag of their own."""


def flags_of(settings: dict[str, Any]) -> str:
    """Settings as the flags of a command line.

    Example:
        >>> flags_of({"variant": "enc", "patch_size": [64, 96]})
        "--variant enc --patch_size '[64, 96]'"
    """
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
    return " ".join(f"--{key} {shlex.quote(text)}" for key, text in texts.items())
