"""Inferers that MONAI does not have."""

from .mirror import MirrorInferer

__all__ = ["MirrorInferer"]
