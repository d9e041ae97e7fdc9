"""Kinds of arguments of the commands: type hints that say what a flag takes, and the check against them.

A command's signature is the one place where it says what its flags take: ``repeats: Count | None``. The values are
checked before the command is called, so no command does that itself.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from .errors import UserError


@dataclass(frozen=True)
class From:
    """Range of a whole number in an annotated type hint.

    Args:
        least: the smallest value.
        most: the largest; None for none.
    """

    least: int
    most: int | None = None

    def __str__(self) -> str:
        return f"from {self.least} " + ("on" if self.most is None else f"to {self.most}")

    def holds(self, value: int) -> bool:
        """Whether a value is in it."""
        return self.least <= value and (self.most is None or value <= self.most)


Count = Annotated[int, From(1)]
Seed = Annotated[int, From(0)]
Port = Annotated[int, From(1, 65535)]

NEEDED: dict[object, str] = {
    int: "needs a whole number",
    float: "needs a number",
    bool: "takes no value",
    dict: "needs values by id, as '{\"max_epochs\": 2}'",
}
"""What an argument of a type needs, for messages."""


def separated(value: str | Sequence[object]) -> list[str]:
    """The words of an argument with commas between them; Fire makes a list of some.

    Example:
        >>> separated("adamw, demo,"), separated(("adamw", "demo"))
        (['adamw', 'demo'], ['adamw', 'demo'])
    """
    words = value.split(",") if isinstance(value, str) else map(str, value)
    return [word for word in (word.strip() for word in words) if word]


def check_arguments(function: Callable[..., object], values: Mapping[str, object]) -> None:
    """Raise UserError unless values fit the type hints of the function that they are for.

    Args:
        function: the function; a class of hints that :data:`NEEDED` does not name can have any value.
        values: its arguments by name; those without a hint are not checked.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    for name, value in values.items():
        kind = inspect.signature(function).parameters[name].kind
        if kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            check_kind(f"--{name.removesuffix('_')}", value, hints.get(name))


def check_kind(flag: str, value: object, hint: object) -> None:
    """Raise UserError unless a value is of the kind that the type hint of an argument says.

    Example:
        >>> check_kind("--seed", "many", int | None)
        Traceback (most recent call last):
        scripts.errors.UserError: --seed needs a whole number, not 'many'
        >>> check_kind("--repeats", 0, Count)
        Traceback (most recent call last):
        scripts.errors.UserError: --repeats needs a whole number from 1 on, not 0
    """
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    parts = typing.get_args(hint) if union else (hint,)
    within = next((range_ for part in parts for range_ in getattr(part, "__metadata__", ())), None)
    plain = [typing.get_args(part)[0] if typing.get_origin(part) is Annotated else part for part in parts]
    kinds = [typing.get_origin(part) or part for part in plain]
    known = next((kind for kind in kinds if kind in NEEDED), None)
    fits = known is None or type(value) in kinds or (known is float and type(value) is int)
    if fits and (within is None or type(value) is not int or within.holds(value)):
        return
    raise UserError(f"{flag} {NEEDED[known]}{f' {within}' if within else ''}, not {value!r}")
