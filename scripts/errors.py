"""Errors that are told to a user in one line."""


class UserError(Exception):
    """Something that the user can put right: the message says what is wrong and what to do, in one line."""
