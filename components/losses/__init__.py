"""Losses that MONAI does not have."""

from .joint import JointDiceCELoss

__all__ = ["JointDiceCELoss"]
