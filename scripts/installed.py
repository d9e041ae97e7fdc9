"""What an installation calls things: one package ``scanseg``, and one copy of the components under all their names.

In the repository this package is ``scripts`` and has ``components`` beside it. Installed, it is ``scanseg``, and the
components are ``scanseg.components``: ``components`` alone is a name that other projects use. Configs of bundles say
``components.networks.…`` in both. So a process that has imported ``scanseg`` finds ``components``

1. on the search path, where a bundle has put its own copy, or where a project has a package of that name;
2. and else in the installation.

Either way a process has one copy of ours: whichever of ``components`` and ``scanseg.components`` is imported first is
the other one as well. A second copy would have other classes, and would register the same operators again.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = __name__.partition(".")[0]
"""Name of this package: ``scripts`` in the repository, ``scanseg`` in an installation."""
OUTSIDE = "components"
"""Name of the components in the repository and in configs."""
COMPONENTS = OUTSIDE if PACKAGE == "scripts" else f"{PACKAGE}.components"
"""Name of the components that belong to this package."""
PARTS = ("blocks", "engines", "handlers", "inferers", "kernels", "losses", "metrics", "networks", "transforms")
"""Parts of the components that ``scanseg`` has under a short name, as ``scanseg.networks``."""


def connect() -> None:
    """Let this process import the components under all their names."""
    if not any(isinstance(finder, OneCopy) for finder in sys.meta_path):
        sys.meta_path.insert(0, OneCopy())


def claim() -> None:
    """Take the name ``components`` for ours, in a process of the command line, whatever else the search path has."""
    if PACKAGE != "scripts" and OUTSIDE not in sys.modules:
        sys.modules[OUTSIDE] = importlib.import_module(COMPONENTS)


class OneCopy(importlib.abc.MetaPathFinder):
    """A finder for ``sys.meta_path`` that gives a module that is loaded already under its other name."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the other name of a component; None for all modules that have no other."""
        top, _, rest = name.partition(".")
        if top != OUTSIDE and (top != PACKAGE or rest.partition(".")[0] not in (OUTSIDE, *PARTS)):
            return None
        real = real_name(name)
        if real == name or importlib.util.find_spec(real) is None:
            return None
        return importlib.machinery.ModuleSpec(name, _Loaded(real))


class _Loaded(importlib.abc.Loader):
    """Gives a module that has been imported under another name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.name)
        self.spec = module.__spec__  # Python sets that of the other name
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


def real_name(name: str) -> str:
    """The name under which a module of the components is, or is to be, imported.

    Args:
        name: such as ``components.networks``, ``scanseg.components.networks`` or ``scanseg.networks``.
    """
    short = name.removeprefix(f"{PACKAGE}.")
    if short != name and short.partition(".")[0] in PARTS:
        name = f"{COMPONENTS}.{short}"
    given = OUTSIDE if name.partition(".")[0] == OUTSIDE else COMPONENTS
    return _home(given) + name.removeprefix(given)


def _home(given: str) -> str:
    """Name of the package that ``components`` or ``scanseg.components`` means in this process."""
    if given in sys.modules:
        return sys.modules[given].__name__
    if given == COMPONENTS:
        other = sys.modules.get(OUTSIDE)
        return OUTSIDE if is_copy(getattr(other, "__path__", ())) else COMPONENTS
    found = importlib.machinery.PathFinder.find_spec(OUTSIDE)
    if found is None:
        return COMPONENTS
    ours = COMPONENTS in sys.modules and is_copy(found.submodule_search_locations or ())
    return COMPONENTS if ours else OUTSIDE


def is_copy(places: Iterable[Any]) -> bool:
    """Whether a package in one of these folders is a copy of the components."""
    return any((Path(place) / "kernels" / "registry.py").is_file() for place in places)
