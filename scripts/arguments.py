"""From the words of a command line to the call of a command, and the help on it."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import io
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import fire

from components.validation import did_you_mean

from .errors import UserError
from .hints import check_arguments
from .tables import aligned

PROGRAM = "scanseg"

FIRE_SAYS = {
    "ERROR: ": "",
    "The function received no value for the required argument: ": "missing --",
    "Could not consume arg: ": "unexpected argument ",
}
"""Beginnings of Fire's error messages, and what a user of flags sees instead."""


@dataclass(frozen=True)
class Command:
    """A row of the table of commands.

    Args:
        target: where the function is, as ``".module:function"`` from this package; it is imported when the command is
            called.
        summary: one line for the list of commands.
        bare: how many of its arguments are given as bare words, before the flags.
    """

    target: str
    summary: str
    bare: int = 0

    def load(self) -> Callable[..., int | None]:
        """Import the function."""
        module, _, function = self.target.partition(":")
        return getattr(importlib.import_module(module, __package__), function)


Table = Mapping[str, "Command | Table"]


def find(words: list[str], table: Table) -> tuple[list[str], Command | Table, list[str]]:
    """Follow the leading words through the table.

    Args:
        words: the command line without the program.
        table: commands and groups of commands by name.

    Returns:
        The names that led to the entry, the entry, and the words that are left for it.

    Raises:
        UserError: if a word is no command.
    """
    path: list[str] = []
    entry: Command | Table = table
    while not isinstance(entry, Command) and words and not words[0].startswith("-"):
        name, *words = words
        if name not in entry:
            called = " ".join([PROGRAM, *path])
            raise UserError(f"unknown command {' '.join([*path, name])!r}{_meant(name, entry)}; see {called} --help")
        path.append(name)
        entry = entry[name]
    return path, entry, words


def call(path: list[str], command: Command, words: list[str]) -> int:
    """Run a command with the arguments that follow it.

    Fire reads the arguments first, without running the command, so that a wrong one is a one-line error.

    Args:
        path: the names that lead to the command.
        command: the command.
        words: its arguments.

    Returns:
        The exit status: what the command returned, 0 where that is nothing.

    Raises:
        UserError: if the arguments do not fit.
    """
    function = command.load()
    called = " ".join([PROGRAM, *path])
    kinds = {name: parameter.kind for name, parameter in inspect.signature(function).parameters.items()}
    parameters = [name for name, kind in kinds.items() if kind is not inspect.Parameter.VAR_KEYWORD]
    hints = {name: hint for name, hint in typing.get_type_hints(function).items() if name in parameters}
    texts = [name for name, hint in hints.items() if hint is str or hint == str | None]
    words, overrides = take_overrides(words, parameters) if len(parameters) < len(kinds) else (words, {})
    _check_flags(words, [_public(name) for name in parameters], [_public(name) for name in texts], called)
    words = [_private(word, parameters) for word in words]
    bound: list[inspect.BoundArguments] = []

    @functools.wraps(function)
    def bind(*args: object, **kwargs: object) -> None:
        bound.append(inspect.signature(function).bind(*args, **kwargs))

    fire.decorators.SetParseFns(**dict.fromkeys(texts, str))(bind)
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            fire.Fire(bind, command=words, name=called)
    except fire.core.FireExit as error:
        reason = next((line for line in told.getvalue().splitlines() if line.startswith("ERROR: ")), "wrong arguments")
        for theirs, ours in FIRE_SAYS.items():
            reason = reason.replace(theirs, ours)
        reason = re.sub(r"Missing required flags: \{'(\w+)'.*", r"missing --\1", reason)
        reason = re.sub(r"(--\w+)_\b", r"\1", reason)
        raise UserError(f"{reason}; see {called} --help") from error
    check_arguments(function, bound[0].arguments)
    return function(*bound[0].args, **bound[0].kwargs, **overrides) or 0


def help_text(path: list[str], entry: Command | Table) -> str:
    """Help on the program, a group of commands or one command, as plain text."""
    called = " ".join([PROGRAM, *path])
    if not isinstance(entry, Command):
        rows = list(_rows(path, entry))
        lines = [aligned(rows, indent="  ")]
        tail = f"{called} COMMAND --help explains a command; --debug shows the traceback of an error."
        return "\n".join([f"Usage: {called} COMMAND …", "", "Commands:", *lines, "", tail])
    function = entry.load()
    parameters = list(inspect.signature(function).parameters.values())
    arguments = [_public(p.name).upper() if place < entry.bare else _flag(p) for place, p in enumerate(parameters)]
    text = inspect.getdoc(function) or ""
    for name in (p.name for p in parameters if p.name != _public(p.name)):
        text = text.replace(f" {name}: ", f" {_public(name)}: ")
    return f"Usage: {' '.join([called, *arguments])}\n\n{text}"


def _public(name: str) -> str:
    """Flag of an argument: a word of Python's own, such as ``from``, has an underscore behind it in the code only."""
    return name.removesuffix("_")


def _private(word: str, parameters: Iterable[str]) -> str:
    """A flag as Fire knows it, with the underscore; any other word as it is."""
    flag, assigned, value = word.partition("=")
    name = flag.removeprefix("--").replace("-", "_")
    return f"--{name}_{assigned}{value}" if flag.startswith("--") and f"{name}_" in parameters else word


def take_overrides(words: Iterable[str], names: Iterable[str]) -> tuple[list[str], dict[str, str | None]]:
    """Take out the flags that are none of the command's own, with their values as they were typed, None without one."""
    rest, own, overrides = list(words), [], {}
    while rest:
        word = rest.pop(0)
        flag, assigned, value = word.partition("=")
        name = flag.removeprefix("--")
        if not word.startswith("--") or name.replace("-", "_") in names:
            own.append(word)
        elif assigned:
            overrides[name] = value
        else:
            overrides[name] = rest.pop(0) if rest and not rest[0].startswith("--") else None
    return own, overrides


def _flag(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_KEYWORD:
        return "[--ID VALUE …]"
    name = _public(parameter.name)
    flag = f"--{name} {name.upper()}"
    return flag if parameter.default is parameter.empty else f"[{flag}]"


def _rows(path: list[str], table: Table) -> Iterable[tuple[str, str]]:
    for name, entry in table.items():
        if isinstance(entry, Command):
            yield " ".join([*path, name]), entry.summary
        else:
            yield from _rows([*path, name], entry)


def _check_flags(words: list[str], names: list[str], texts: list[str], called: str) -> None:
    for word, after in zip(words, [*words, "--"][1:], strict=True):
        flag, assigned, _ = word.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not word.startswith("--"):
            continue
        if name not in names and name.removeprefix("no") not in names:
            raise UserError(f"unknown flag {flag}{_meant(name, names, '--')}; see {called} --help")
        if name in texts and not assigned and after.startswith("--"):
            raise UserError(f"{flag} needs a value; see {called} --help")


def _meant(name: str, names: Iterable[str], prefix: str = "") -> str:
    return did_you_mean(name, names, prefix) or f": there is {', '.join(prefix + n for n in names)}"
