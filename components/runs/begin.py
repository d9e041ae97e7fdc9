"""What every config calls first, before anything is built."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from monai.bundle import ConfigParser, ReferenceResolver

from ..streams import replace_what_cannot_be_encoded
from .allocator import keep_freed_memory
from .command import ARGUMENTS, given_arguments, typed_arguments
from .dataset import check_dataset
from .excepthook import tell
from .group import before_group
from .logs import filter_logs
from .overrides import check_overrides, check_places

FURTHER = ("workflow_name", "workflow_type", "properties_path")
"""Arguments of MONAI's workflows that ``monai.bundle run`` hands on."""


def start(dataset_dir: Any = None, lists: Sequence[str] = (), folder_of_images: bool = False) -> None:
    """Check the command line and the data set of a run, let later errors end it with one line, and set the allocator.

    Args:
        dataset_dir: the data set.
        lists: lists of its ``datalist.json`` that the run needs; the first one must not be empty.
        folder_of_images: whether the data set may be a folder of images without ``datalist.json``.

    Raises:
        ValueError: if an override has a name that no config knows, or a value of another kind, or if a list is missing
            or is none.
        FileNotFoundError: if the data set, or a file of its lists, is missing.
    """
    if not is_command():
        return
    sys.excepthook = tell
    replace_what_cannot_be_encoded()
    keep_freed_memory()
    before_group()
    filter_logs()
    given = given_arguments(sys.orig_argv) or {}
    check_places(given, typed_arguments(sys.orig_argv) or {})
    overrides = {name: value for name, value in given.items() if name not in (*ARGUMENTS, *FURTHER)}
    if "config_file" in given:
        check_overrides(overrides, _config_files(given["config_file"]), given.get("tracking"))
    if not any("dataset" in ReferenceResolver.split_id(name) for name in overrides):  # else it brings its own items
        check_dataset(dataset_dir, lists, folder_of_images)


def is_command() -> bool:
    """Whether this process was started as ``python -m monai.bundle run``."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return getattr(spec, "name", None) == "monai.bundle.__main__" and sys.argv[1:2] == ["run"]


def _config_files(files: Any) -> dict[str, Any]:
    return ConfigParser.load_config_files(list(files) if isinstance(files, tuple) else files)
