"""Inferers that MONAI does not have."""

from .even_windows import EvenWindowInferer
from .mirror import MirrorInferer

__all__ = ["EvenWindowInferer", "MirrorInferer"]
