"""The parts of a bundle's config, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
PREVIOUS = "previous"
"""Item of a cascade: the label map of its previous stage."""
SAVING = ("SaveImaged", "SaveMapd")
"""Transforms that write maps."""


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
