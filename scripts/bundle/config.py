"""The parts of a bundle's config, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

Json = dict[str, Any]
PREVIOUS = "previous"
"""Item of a cascade: the label map of its previous stage."""
SAVING = ("SaveImaged", "SaveMapd")
"""Transforms that write maps."""
INLINE = 110
"""Lists of numbers and words up to this length stand on one line."""


def nodes(value: Any) -> Iterator[Json]:
    """All dictionaries that say what is to be built, outer ones first."""
    if isinstance(value, dict):
        if "_target_" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from nodes(entry)


def kind_of(step: Any) -> str:
    """Name of the class of a step; empty for a reference."""
    return str(step.get("_target_", "")).rpartition(".")[2] if isinstance(step, dict) else ""


def dumps(value: Any, indent: int = 0) -> str:
    """JSON with four spaces of indent, in which short lists of numbers and words stand on one line."""
    space, inner = " " * indent, " " * (indent + 4)
    if isinstance(value, dict) and value:
        rows = (f"{inner}{json.dumps(k, ensure_ascii=False)}: {dumps(v, indent + 4)}" for k, v in value.items())
        return "{\n" + ",\n".join(rows) + f"\n{space}}}"
    if isinstance(value, list) and value:
        line = json.dumps(value, ensure_ascii=False)
        if len(line) <= INLINE and not _has_objects(value):
            return line
        return "[\n" + ",\n".join(inner + dumps(entry, indent + 4) for entry in value) + f"\n{space}]"
    return json.dumps(value, ensure_ascii=False)


def _has_objects(value: Sequence[Any]) -> bool:
    return any(isinstance(v, dict) or (isinstance(v, list) and _has_objects(v)) for v in value)
