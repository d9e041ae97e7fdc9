"""Checks of arguments."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def check_choice(argument: str, value: str, valid: Iterable[str]) -> None:
    """Raise ValueError, with the valid names and the closest of them, unless ``value`` is one of ``valid``.

    Example:
        >>> check_choice("variant", "bott", ["bot", "enc"])
        Traceback (most recent call last):
        ValueError: unknown variant 'bott', did you mean 'bot'? Valid: bot, enc
    """
    valid = list(valid)
    if value not in valid:
        hint = did_you_mean(str(value), valid, prefix="'", suffix="'") or "."
        raise ValueError(f"unknown {argument} '{value}'{hint} Valid: {', '.join(valid)}")


def check_range(argument: str, value: Sequence[float], least: float = 0) -> tuple[float, float]:
    """The two numbers of a range; ValueError unless they are in order and not below ``least``.

    Example:
        >>> check_range("sigma", [0.5, 0.1])
        Traceback (most recent call last):
        ValueError: sigma must be two numbers, 0 ≤ low ≤ high, got (0.5, 0.1)
    """
    if len(value) != 2 or not least <= value[0] <= value[1]:
        raise ValueError(f"{argument} must be two numbers, {least:g} ≤ low ≤ high, got {tuple(value)}")
    return value[0], value[1]


def did_you_mean(name: str, valid: Iterable[str], prefix: str = "", suffix: str = "") -> str:
    """A question after the closest of some names, or nothing where none is close.

    Example:
        >>> did_you_mean("max_epoch", ["max_epochs", "seed"], prefix="--")
        ', did you mean --max_epochs?'
    """
    close = difflib.get_close_matches(name, list(valid), n=1)
    return f", did you mean {prefix}{close[0]}{suffix}?" if close else ""
