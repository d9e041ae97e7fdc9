"""Checks of arguments that name things."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


def did_you_mean(name: str, valid: Iterable[str], prefix: str = "", suffix: str = "") -> str:
    """A question after the closest of some names, or nothing where none is close.

    Example:
        >>> did_you_mean("max_epoch", ["max_epochs", "seed"], prefix="--")
        ', did you mean --max_epochs?'
    """
    close = difflib.get_close_matches(name, list(valid), n=1)
    return f", did you mean {prefix}{close[0]}{suffix}?" if close else ""
