"""Runs a module or a file of Python in a process that sees one copy of ``components`` and no ``scanseg``.

``python -I isolated.py FOLDER MODULE|FILE.py ARGUMENTS…``, from any folder. FOLDER is where the one copy is: the folder
of a downloaded bundle, or the checkout. ``-I`` keeps PYTHONPATH and the current folder out, but an installed scanseg
would still be found, in site-packages or, where it was installed in editable mode, by a finder. So the first finder of
all answers for both names: it looks only in FOLDER, and only if the bundle itself has put FOLDER on ``sys.path``.
"""

from __future__ import annotations

import importlib.machinery
import os
import runpy
import sys
from collections.abc import Sequence
from types import ModuleType

HIDDEN = ("components", "scanseg", "scripts")


class OnlyFrom:
    """A finder for ``sys.meta_path``: the opposite of that of an installation, which this process must not import.

    Args:
        folder: where the one copy of ``components`` is.
    """

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find ``components`` in the folder, and nothing for the others; other names are left to other finders."""
        if name not in HIDDEN:
            return None
        places = [place for place in sys.path if os.path.realpath(place) == self.folder]
        found = importlib.machinery.PathFinder.find_spec(name, places) if name == "components" else None
        if found is None:
            raise ModuleNotFoundError(f"No module named {name!r} (only {self.folder} is searched)", name=name)
        return found


def main(words: Sequence[str]) -> None:
    """Hide other copies, then run a module or a file as the main program."""
    folder, what, *arguments = words
    sys.meta_path.insert(0, OnlyFrom(folder))
    sys.dont_write_bytecode = True
    sys.argv = [what, *arguments]
    if what.endswith(".py"):
        runpy.run_path(what, run_name="__main__")
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
