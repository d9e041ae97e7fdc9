"""Errors that are told to a user in one line."""

from __future__ import annotations


class UserError(Exception):
    """Something that the user can put right: the message says what is wrong and what to do, in one line."""


def root_cause(error: BaseException) -> BaseException:
    """The error at the bottom of the chain, for example what a component said below MONAI's own error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
