"""Inferers that MONAI does not have."""

from .ensemble import EnsembleInferer
from .even_windows import EvenWindowInferer
from .mirror import MirrorInferer

__all__ = ["EnsembleInferer", "EvenWindowInferer", "MirrorInferer"]
