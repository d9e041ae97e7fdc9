"""Transforms that MONAI does not have."""

from components.transforms.piecewise_affine import RandPiecewiseAffine, RandPiecewiseAffined

__all__ = ["RandPiecewiseAffine", "RandPiecewiseAffined"]
