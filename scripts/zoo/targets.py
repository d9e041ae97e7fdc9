"""What the ``_target_`` of configs may name: parts of MONAI, PyTorch, Ignite and the components."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from monai.bundle import ComponentLocator

PARTS = (
    "monai.data", "monai.engines", "monai.handlers", "monai.inferers", "monai.losses", "monai.metrics",
    "monai.networks", "monai.optimizers", "monai.transforms", "monai.visualize",
    "torch.amp", "torch.nn", "torch.optim", "torch.utils.data",
    "ignite.engine", "ignite.handlers", "ignite.metrics",
)  # fmt: skip
"""Packages that a config may take parts from; others can download, start processes or load code."""
DENIED = re.compile(r"load_net_with_metadata|save_net_with_metadata|convert_to_\w+|\w*trt\w*|torchscript\w*")
"""Parts of those that load or compile programs."""
NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*")


def check_target(target: Any, components: Path) -> None:
    """Raise ValueError unless a ``_target_`` names a part that configs may use.

    Args:
        target: the value in the config.
        components: folder of the components; they are read, not imported.

    Example:
        >>> check_target("monai.utils.misc.run_cmd", Path("components"))
        Traceback (most recent call last):
        ValueError: monai.utils.misc.run_cmd is not part of MONAI, PyTorch or Ignite that a bundle may use
    """
    if not isinstance(target, str) or not NAME.fullmatch(target):
        raise ValueError("_target_ must be the name of a class or function")
    if target.startswith("components."):
        if not _is_component(target, components):
            raise ValueError(f"{target} is not a class or function of the components")
        return
    if "." in target:
        if not is_part(target):
            raise ValueError(f"{target} is not part of MONAI, PyTorch or Ignite that a bundle may use")
        return
    modules = _locator().get_component_module_name(target)
    modules = [modules] if isinstance(modules, str) else modules or []
    if not modules:
        raise ValueError(f"{target} is neither a component of MONAI nor a full name")
    if wrong := [module for module in modules if not is_part(f"{module}.{target}")]:
        raise ValueError(f"{target} is of {wrong[0]}, which a bundle may not use")


@functools.cache
def is_part(dotted: str) -> bool:
    """Whether a full name is that of a class or function defined in one of the packages, or of its attribute.

    The packages are installed ones, and importing them runs nothing of a bundle. A module that is reached through
    another, such as ``torch.nn.os``, does not count.

    Example:
        >>> is_part("torch.optim.SGD"), is_part("torch.nn.modules.module.torch.hub.load")
        (True, False)
    """
    package = next((part for part in PARTS if dotted.startswith(f"{part}.")), None)
    if package is None or not NAME.fullmatch(dotted) or DENIED.search(dotted):
        return False
    found: Any = importlib.import_module(package)
    inside = package
    for name in dotted[len(package) + 1 :].split("."):
        inside = f"{inside}.{name}"
        if name.startswith("_") or (found := _attribute(found, name, inside)) is None:
            return False
        if isinstance(found, ModuleType) and found.__name__ != inside:
            return False
    home = getattr(found, "__module__", None) or ""
    return not isinstance(found, ModuleType) and (
        any(f"{home}.".startswith(f"{part}.") for part in PARTS)
        or (inspect.isbuiltin(found) and home in ("", "torch._C._nn"))
    )


def _attribute(found: Any, name: str, dotted: str) -> Any:
    value = getattr(found, name, None)
    if value is None and isinstance(found, ModuleType):
        try:
            return importlib.import_module(dotted)
        except ImportError:
            return None
    return value


def _is_component(target: str, components: Path) -> bool:
    """Whether the source of the components defines the name, or takes it from another of its modules."""
    *modules, name = target.split(".")[1:]
    folder = components.joinpath(*modules)
    path = folder / "__init__.py" if (folder / "__init__.py").is_file() else folder.with_suffix(".py")
    return path.is_file() and name in _names(path.read_text(encoding="utf-8"))


def _names(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("components")):
            names |= {alias.asname or alias.name for alias in node.names}
    return {name for name in names if not name.startswith("_")}


@functools.cache
def _locator() -> ComponentLocator:
    return ComponentLocator()
