"""The beginning of a bundle's run: mistakes are told in one line, before anything is built.

Every config calls :func:`start` first. It does something only in a process that was started as
``python -m monai.bundle run``; where a bundle is loaded by other code, as in a server, nothing is changed.
"""

from __future__ import annotations

import inspect
import json
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from numbers import Number
from pathlib import Path
from pydoc import locate
from types import TracebackType
from typing import Any

from monai.apps.utils import get_logger
from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser, ReferenceResolver
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS

from components.allocator import keep_freed_memory
from components.errors import in_words, masked, root_cause
from components.handlers.command import ARGUMENTS, given_arguments
from components.validation import did_you_mean

DEBUG = "SCANSEG_DEBUG"
"""Environment variable that shows the traceback of an error as well."""
FURTHER = ("workflow_name", "workflow_type", "properties_path")
"""Arguments of MONAI's workflows that ``monai.bundle run`` hands on."""
WORDS = ("true", "false", "yes", "no", "t", "f", "y", "n", "1", "0", "on", "off")
"""What MONAI's ``str2bool`` reads."""
STATS = "monai.handlers.StatsHandler"
"""Name of the logger of MONAI's handler of that name."""
SHOWN = 3
MAKE = "`scanseg data prepare` and `scanseg data sample` make a data set, see the documentation of the bundle"


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
    keep_freed_memory()
    _tend_logs()
    given = given_arguments(sys.orig_argv) or {}
    overrides = {name: value for name, value in given.items() if name not in (*ARGUMENTS, *FURTHER)}
    if "config_file" in given:
        check_overrides(overrides, _config_files(given["config_file"]), given.get("tracking"))
    if not any("dataset" in ReferenceResolver.split_id(name) for name in overrides):  # else it brings its own items
        check_dataset(dataset_dir, lists, folder_of_images)


def is_command() -> bool:
    """Whether this process was started as ``python -m monai.bundle run``."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return getattr(spec, "name", None) == "monai.bundle.__main__" and sys.argv[1:2] == ["run"]


def tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Tell an error that ends the process, as ``sys.excepthook``.

    Raises:
        SystemExit: always, with 2 where the user can mend it, 130 after an interrupt, 1 for any other error.
    """
    if os.environ.get(DEBUG):
        sys.__excepthook__(kind, error, traceback)
    if issubclass(kind, KeyboardInterrupt):
        message, status = "interrupted", 130
    else:
        message, can_be_mended = in_words(error)
        status = 2 if can_be_mended else 1
        if not can_be_mended:
            message = (
                f"unexpected {type(root_cause(error)).__name__}: {message}; {DEBUG}=1 in the environment shows where"
            )
    _end_workers()
    rank = os.environ.get("RANK", "0")
    # not sys.stderr: in a process group PyTorch's own hook takes that, and loses what it has when this one raises
    (sys.__stderr__ or sys.stderr).write(f"scanseg: {f'process {rank}: ' if rank != '0' else ''}{message}\n")
    raise SystemExit(status)


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


def check_kind(name: str, value: Any, ours: Any) -> None:
    """Raise ValueError unless a value can stand where a config has another one.

    Args:
        name: its id.
        value: as it was read from the command line; a text that begins with ``$``, ``@`` or ``%`` can be anything.
        ours: the value in the config; None, a text and an object say nothing of the kind.

    Example:
        >>> check_kind("max_epochs", "many", 300)
        Traceback (most recent call last):
        ValueError: --max_epochs is 'many', but a whole number is needed, as 300
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
        example = "" if isinstance(ours, bool) or len(example) > 60 else f", as {example}"
        raise ValueError(f"--{name} is {value!r}, but {wanted} is needed{example}")


def check_dataset(dataset_dir: Any, lists: Sequence[str], folder_of_images: bool = False) -> None:
    """Look whether a data set has what a run needs; arguments and errors as of :func:`start`."""
    if not isinstance(dataset_dir, str | os.PathLike):
        raise ValueError(f"--dataset_dir is {dataset_dir!r}, but a folder is needed: write ./{dataset_dir}")
    folder = Path(dataset_dir)
    path = folder / "datalist.json"
    if not folder.is_dir():
        raise FileNotFoundError(f"dataset_dir {folder} does not exist: give one with --dataset_dir; {MAKE}")
    if not path.is_file():
        if folder_of_images:
            return
        raise FileNotFoundError(f"dataset_dir {folder} has no datalist.json: give another --dataset_dir; {MAKE}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): make the data set again; {MAKE}") from None
    for name in lists:
        items = content.get(name) if isinstance(content, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
            raise ValueError(f"{path} needs a list of items {name!r}, but has {found or 'nothing'}; {MAKE}")
        if name == lists[0] and not items:
            raise ValueError(f"{path}: the list {name!r} is empty, so that there is nothing to do")
        _check_files(path, name, items)


def _check_files(path: Path, name: str, items: Sequence[Mapping[str, Any]]) -> None:
    files = [file for item in items for file in _files(item)]
    if wrong := [item for item in items if "image" not in item]:
        raise ValueError(f"{path}: an item of {name!r} has no image: {json.dumps(wrong[0], ensure_ascii=False)[:120]}")
    if missing := [file for file in files if not (path.parent / file).is_file()]:
        shown = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
        raise FileNotFoundError(
            f"{len(missing)} of {len(files)} files of the list {name!r} in {path} are missing: {shown}; bring them "
            f"back, or make the data set again: `scanseg data check {path.parent}` looks for all faults"
        )


def _files(item: Mapping[str, Any]) -> Iterator[str]:
    for key in ("image", "label", "instances"):
        value = item.get(key, [])
        yield from map(str, value if isinstance(value, list) else [value])


def _config_files(files: Any) -> dict[str, Any]:
    return ConfigParser.load_config_files(list(files) if isinstance(files, tuple) else files)


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
    """Names that a part of a config can have; None where that is not known."""
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


def _end_workers() -> None:
    """End the processes that load data, which may not listen to the signal that Python sends at its own end."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch would raise an error at the end of each
    for child in multiprocessing.active_children():
        child.kill()


def _tend_logs() -> None:
    """Keep out of the logs what is told in one line, and passwords in addresses such as that of an MLflow server."""
    get_logger(STATS)
    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    for handler in {handler for logger in (logging.root, *loggers) for handler in logger.handlers}:
        handler.addFilter(_tended)


def _tended(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    if (hidden := masked(text)) != text:
        record.msg, record.args = hidden, ()
    # Ignite's engines, and MONAI's handler of them, log an error with its traceback.
    return record.levelno < logging.ERROR or not record.name.startswith(("ignite.", STATS))
