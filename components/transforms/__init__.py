"""Transforms that MONAI does not have."""

from components.transforms.piecewise_affine import RandPiecewiseAffine, RandPiecewiseAffined
from components.transforms.resize_slices import ResizeSlices, ResizeSlicesd

__all__ = ["RandPiecewiseAffine", "RandPiecewiseAffined", "ResizeSlices", "ResizeSlicesd"]
