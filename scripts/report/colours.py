"""Colours of the classes and of the errors."""

from __future__ import annotations

LABELS = (
    "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#b79cff", "#42d4f4", "#f032e6", "#ffe119",
    "#bfef45", "#fabed4", "#469990", "#9a6324", "#aaffc3",
)  # fmt: skip
ERRORS = {
    "false positive": ("#e69f00", "predicted, but not in the ground truth"),
    "false negative": ("#56b4e9", "in the ground truth, but not predicted"),
    "wrong class": ("#f0e442", "another class than in the ground truth"),
}
"""Kinds of errors, in the order of their numbers in an error map: colour (told apart by colour-blind readers, too) and
what is meant."""


def colour(label: int) -> str:
    """Colour of a label from 1 on, as ``#rrggbb``."""
    return LABELS[(label - 1) % len(LABELS)]


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb``, each in 0 … 255.

    Example:
        >>> rgb("#ff8000")
        (255, 128, 0)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
