"""Losses that MONAI does not have."""

from .joint import JointDiceCELoss
from .partial import IgnoringDiceCELoss, RegionDiceBCELoss

__all__ = ["IgnoringDiceCELoss", "JointDiceCELoss", "RegionDiceBCELoss"]
