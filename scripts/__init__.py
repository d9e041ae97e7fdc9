"""The command line around the bundles: ``python -m scripts`` in the repository, ``scanseg`` once it is installed.

An installation has this one package, with the components and the bundles inside. The components are there under short
names, imported when they are first used:

    from scanseg.networks import MSVMUNet, XLSTMUNet, load_published
"""

from __future__ import annotations

import importlib
from typing import Any

from . import installed

if installed.PACKAGE != "scripts":
    installed.connect()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module(installed.COMPONENTS).__version__
    if installed.PACKAGE != "scripts" and name in installed.PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "__version__", *(installed.PARTS if installed.PACKAGE != "scripts" else ())})
