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
        close = difflib.get_close_matches(str(value), valid, n=1)
        hint = f", did you mean '{close[0]}'?" if close else "."
        raise ValueError(f"unknown {argument} '{value}'{hint} Valid: {', '.join(valid)}")
