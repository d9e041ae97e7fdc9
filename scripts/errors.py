"""Errors that a user sees as one line."""

from __future__ import annotations

from components.errors import one_line, root_cause

__all__ = ["UserError", "one_line", "reason", "root_cause"]

LONGEST = 240
"""Characters of a reason."""


class UserError(Exception):
    """An error that the user can fix: the message says what is wrong and what to do, in one line."""


def reason(error: BaseException) -> str:
    """Why one of several things could not be done, on one line, for a table that continues without it.

    Example:
        >>> reason(ValueError("no such size"))
        'ValueError: no such size'
    """
    error = root_cause(error)  # MONAI's configs only say which expression failed
    text = " ".join(str(error).split())
    lowered = text.lower()
    if isinstance(error, MemoryError) or "can't allocate memory" in lowered or "out of memory" in lowered:
        return "it needs more memory than is free"
    text = text if len(text) <= LONGEST else text[:LONGEST].rstrip() + " …"
    if text and isinstance(error, UserError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
