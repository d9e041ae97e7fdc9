"""Errors that are told to a user in one line."""

from __future__ import annotations

from components.errors import one_line, root_cause

__all__ = ["UserError", "one_line", "root_cause"]


class UserError(Exception):
    """Something that the user can put right: the message says what is wrong and what to do, in one line."""
