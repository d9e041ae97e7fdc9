"""A stand-in for torchvision, of which MONAI Label imports two functions that no bundle of ours uses."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn


def provide_torchvision() -> None:
    """Enter the stand-in among the loaded modules, unless torchvision is installed or there already."""
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        return
    package, utils = ModuleType("torchvision"), ModuleType("torchvision.utils")
    package.__spec__, utils.__spec__ = ModuleSpec("torchvision", None), ModuleSpec("torchvision.utils", None)
    package.utils, utils.make_grid, utils.save_image = utils, make_grid, save_image
    sys.modules |= {"torchvision": package, "torchvision.utils": utils}


def make_grid(*_: object, **__: object) -> NoReturn:
    """Raise ImportError: DeepEdit's pictures for TensorBoard need torchvision itself."""
    raise ImportError("make_grid needs torchvision, which is not installed")


def save_image(*_: object, **__: object) -> NoReturn:
    """Raise ImportError: dumps of predictions need torchvision itself."""
    raise ImportError("save_image needs torchvision, which is not installed")
