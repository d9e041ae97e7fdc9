"""A look at the configs of a bundle that runs nothing of them.

MONAI's configs are programs: ``_target_`` names what is called, ``$`` begins an expression, ``%`` takes in another
file. The lint lets through what segmentation bundles need and refuses all else, so that a config which passes builds
and calls only parts of MONAI, PyTorch, Ignite and the components.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ReferenceResolver

from ..errors import UserError
from ..weights.pickles import printable
from .expressions import ALIASES, check_expression
from .targets import check_target

IMPORTS = "imports"
MODES = ("default", "callable")
REFERENCE = re.compile(r"(::)*\w+(::\w+)*")
Keys = tuple[str, ...]


def lint_config(path: Path, components: Path) -> None:
    """Raise UserError, with file, key and reason, unless a config is harmless.

    Args:
        path: a JSON config.
        components: folder of the components that ``_target_`` may name.
    """
    for keys, value in _walk(_load(path)):
        try:
            _check(keys, value, components)
        except (ValueError, SyntaxError, RecursionError) as error:
            where = "#".join(keys)
            shown = f" = {printable(value, 120)!r}" if isinstance(value, str) else ""
            raise UserError(f"{path}: {printable(where)}{shown}: {error}") from error


def lint_metadata(path: Path) -> None:
    """Raise UserError unless metadata hold data only; a config can refer to them as ``_meta_``."""
    for keys, value in _walk(_load(path)):
        if keys[-1].startswith("_") or (isinstance(value, str) and value[:1] in "$%" and value):
            raise UserError(f"{path}: {'#'.join(keys)}: metadata must not hold anything that runs")


def _load(path: Path) -> Any:
    try:
        config = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} is not an object of JSON")
    return config


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key occurs twice, among {', '.join(key for key, _ in pairs[:5])}")
    return found


def _walk(node: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every value with its keys, those that are written in one, such as ``train#sampler``, taken apart."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, dict):
        pairs = node.items()
    elif isinstance(node, list):
        pairs = enumerate(node)
    for key, value in pairs:
        names = ReferenceResolver.normalize_id(str(key)).split("::")
        inner = (*keys, *(name.removeprefix("+") for name in names))
        yield inner, value
        yield from _walk(value, inner)


def _check(keys: Keys, value: Any, components: Path) -> None:
    last = keys[-1]
    if keys[0] == IMPORTS and not (isinstance(value, list) and len(keys) == 1):
        _check_import(value)
    elif last == "_target_":
        check_target(value, components)
    elif last == "_mode_" and value not in MODES:
        raise ValueError(f"_mode_ may be {' or '.join(MODES)}")
    elif isinstance(value, str):
        _check_text(value)


def _check_import(value: Any) -> None:
    if not isinstance(value, str) or not value.startswith("$"):
        raise ValueError("imports may hold import statements only")
    body = ast.parse(value[1:]).body
    names = body[0].names if len(body) == 1 and isinstance(body[0], ast.Import) else []
    if len(names) != 1 or ALIASES.get(names[0].asname or names[0].name) != names[0].name:
        known = ", ".join(name if name == alias else f"{name} as {alias}" for alias, name in ALIASES.items())
        raise ValueError(f"only these are imported: {known}")


def _check_text(text: str) -> None:
    if text.startswith("%"):
        path, _ = ConfigParser.split_path_id(text[1:])
        if path:
            raise ValueError("another file is included: copy its content here")
    text = ReferenceResolver.normalize_id(text)
    references = [match[1:] for match in ReferenceResolver.id_matcher.findall(text)]
    if not text.startswith("$"):
        references = references if f"@{''.join(references)}" == text else []
    for reference in references:
        if not REFERENCE.fullmatch(reference) or IMPORTS in reference.split("::"):
            raise ValueError(f"@{reference} can reach a module")
    if text.startswith("$"):
        resolved = ReferenceResolver.update_refs_pattern(text, dict.fromkeys(references))
        check_expression(resolved[1:])
