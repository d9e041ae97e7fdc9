"""Overrides on the command line of a run: names that the configs know, and values of the same kind."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping
from numbers import Number
from pydoc import locate
from typing import Any

from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser, ReferenceResolver
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS

from ..validation import did_you_mean
from .command import ARGUMENTS, PLACES

WORDS = ("true", "false", "yes", "no", "t", "f", "y", "n", "1", "0", "on", "off")
"""What MONAI's ``str2bool`` reads."""


def check_overrides(overrides: Mapping[str, Any], config: Mapping[str, Any], tracking: Any = None) -> None:
    """Refuse what MONAI would silently add to a config, or fail on later.

    Args:
        overrides: values by id, as ``train#trainer#max_epochs``.
        config: content of the config files, merged.
        tracking: value of ``--tracking``, whose settings can be overridden, too.

    Raises:
        ValueError: if a name is not known, with the closest one that is, or if a value is of another kind than the
            config's own.
    """
    known = [*config, *_tracking_settings(tracking)]
    for name, value in overrides.items():
        *outer, last = ReferenceResolver.split_id(name.removeprefix("+"))
        if not outer and last not in known and last != ConfigParser.meta_key:
            hint = did_you_mean(last, [*known, *ARGUMENTS], prefix="--")
            raise ValueError(f"unknown override --{name}{hint}; the documentation of the bundle lists them")
        node: Any = config
        for part in outer:
            node = node.get(part) if isinstance(node, Mapping) else _entry(node, part)
        if isinstance(node, Mapping) and last in node:
            check_kind(name, value, node[last])
        elif outer and isinstance(node, Mapping) and (names := _arguments(node)) is not None and last not in names:
            inside = "#".join(outer)
            raise ValueError(f"unknown override --{name}{did_you_mean(last, names)}; {inside} has {', '.join(names)}")


def check_places(given: Mapping[str, Any], typed: Mapping[str, str]) -> None:
    """Raise ValueError where a folder was read as another value, as ``--output_dir 5`` is read as a number.

    Args:
        given: arguments of the command line by name, as MONAI reads them.
        typed: the same as texts.

    Example:
        >>> check_places({"output_dir": ("d", 1)}, {"output_dir": "d,1"})
        Traceback (most recent call last):
        ValueError: --output_dir d,1 is read as ('d', 1), but a folder is needed: write ./d,1
    """
    for name in PLACES:
        value = given.get(name)
        if value is not None and not isinstance(value, str | os.PathLike):
            text = typed.get(name, str(value))
            raise ValueError(f"--{name} {text} is read as {value!r}, but a folder is needed: write ./{text}")


def check_kind(name: str, value: Any, ours: Any) -> None:
    """Raise ValueError unless a value can stand where a config has another one.

    Args:
        name: its id.
        value: as it was read from the command line; a text that begins with ``$``, ``@`` or ``%`` can be anything.
        ours: the value in the config; None, a text and an object say nothing of the kind.

    Example:
        >>> check_kind("max_epochs", "many", 300)
        Traceback (most recent call last):
        ValueError: --max_epochs is 'many', but a whole number is needed, such as 300
    """
    if (isinstance(value, str) and value[:1] in ("$", "@", "%")) or value is None:
        return
    if isinstance(ours, bool):
        wanted, fits = "true or false", isinstance(value, bool) or str(value).lower() in WORDS
        fits = fits and isinstance(value, bool | str)
    elif isinstance(ours, int):
        wanted, fits = "a whole number", _is_number(value) and float(value).is_integer()
    elif isinstance(ours, float):
        wanted, fits = "a number", _is_number(value)
    elif isinstance(ours, list):
        wanted, fits = "a list", isinstance(value, list | tuple)
    else:
        return
    if not fits:
        example = json.dumps(ours, ensure_ascii=False)
        example = "" if isinstance(ours, bool) or len(example) > 60 else f", such as {example}"
        raise ValueError(f"--{name} is {value!r}, but {wanted} is needed{example}")


def _tracking_settings(tracking: Any) -> list[str]:
    if tracking is None:
        return []
    settings = DEFAULT_EXP_MGMT_SETTINGS.get(tracking) if isinstance(tracking, str) else tracking
    if settings is None:
        settings = ConfigParser.load_config_files(tracking)
    return list(settings.get("configs", ()))


def _entry(node: Any, part: str) -> Any:
    try:
        return node[int(part)]
    except (TypeError, ValueError, IndexError, KeyError):
        return None


def _arguments(node: Mapping[str, Any]) -> list[str] | None:
    """Names that a part of a config can have; None if that is not known."""
    if not ConfigComponent.is_instantiable(node):
        return list(node)
    target = locate(str(ConfigComponent(dict(node), locator=ComponentLocator()).resolve_module_name()))
    if not callable(target):
        return None
    names: dict[str, None] = {}
    for kind in inspect.getmro(target) if inspect.isclass(target) else [target]:  # **kwargs are those of the base class
        parameters = inspect.signature(kind).parameters.values()
        names |= {p.name: None for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return [*names, *sorted(ConfigComponent.non_arg_keys)]
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, Number) and not isinstance(value, bool)
