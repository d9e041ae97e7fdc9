"""What the command line of ``monai.bundle run`` says: which configs, and what differs from the bundle's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

from ..errors import masked

PLACES = ("bundle_root", "dataset_dir", "output_dir", "ckpt_dir", "cache_dir")
"""Settings that say where files are, and nothing about the result."""
ARGUMENTS = (
    "run_id", "init_id", "final_id", "meta_file", "config_file", "logging_file", "tracking", "args_file",
)  # fmt: skip
"""Arguments of ``monai.bundle run``; every other one is an override."""


def read_command(words: Sequence[str] | None = None) -> dict[str, Any] | None:
    """Configs and overrides of a bundle's run, as its command line has them.

    Args:
        words: the command line; that of this process by default.

    Returns:
        ``config_files``, the names of the config files, and ``changes`` in the order in which they apply, but without
        those that say where files are: a list of dictionaries with ``id``, ``used``, ``released`` (what the bundle's
        first config has there, None for nothing), ``known`` (whether that config has the first part of the id: what it
        does not have is without effect, unless another change uses it) and ``by`` (the further config file, or
        "command line"). None if the process is no such run: nothing is known of a bundle that is run from code.
    """
    words = list(sys.orig_argv if words is None else words)
    given = given_arguments(words)
    if given is None or "config_file" not in given:
        return None
    files = given.pop("config_file")
    files = [Path(file) for file in (files if isinstance(files, (list, tuple)) else [files])]
    overrides = {key: value for key, value in given.items() if key not in ARGUMENTS}
    try:
        released, *further = (ConfigParser.load_config_file(str(file)) for file in files)
    except (OSError, ValueError):  # moved since the process started
        return None
    changes = [
        {"id": key, "used": value, "released": _at(released, key), "known": _parts(key)[0] in released, "by": source}
        for source, values in [*zip((f.name for f in files[1:]), further, strict=True), ("command line", overrides)]
        for key, value in values.items()
        if key not in PLACES
    ]
    return {
        "config_files": [file.name for file in files],
        "changes": json.loads(masked(json.dumps(changes, default=str))),
    }


def given_arguments(words: Sequence[str]) -> dict[str, Any] | None:
    """Arguments of ``monai.bundle run`` by name, with those of its ``args_file`` below them; None in others."""
    typed = typed_arguments(words)
    if typed is None:
        return None
    given = {name: DefaultParseValue(text) for name, text in typed.items()}
    if "args_file" in given:
        try:
            return {**ConfigParser.load_config_file(str(given["args_file"])), **given}
        except (OSError, ValueError):
            return None
    return given


def typed_arguments(words: Sequence[str]) -> dict[str, str] | None:
    """Arguments of ``monai.bundle run`` by name, as they were typed; None in others."""
    program = next((place for place, word in enumerate(words) if word.replace("/", ".").endswith("monai.bundle")), None)
    if program is None:
        program = next((place for place, word in enumerate(words) if _is_main(word)), None)
    if program is None or list(words[program + 1 : program + 2]) != ["run"]:
        return None
    typed: dict[str, str] = {}
    rest = list(words[program + 2 :])
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            continue
        name, assigned, text = word.removeprefix("--").partition("=")
        if not assigned:
            text = rest.pop(0) if rest and not rest[0].startswith("--") else "True"
        typed[name] = text
    return typed


def _is_main(word: str) -> bool:
    return Path(word).parts[-3:] == ("monai", "bundle", "__main__.py")


def _at(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in _parts(key):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, ValueError, IndexError, TypeError):
            return None
    return value


def _parts(key: str) -> list[str]:
    return key.removeprefix("+").replace("::", "#").split("#")
