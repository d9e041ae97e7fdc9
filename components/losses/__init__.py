"""Losses that MONAI does not have."""

from .gathered import GatheredLoss

__all__ = ["GatheredLoss"]
