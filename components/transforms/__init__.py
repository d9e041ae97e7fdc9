"""Transforms that MONAI does not have."""

from components.transforms.channelwise import RandChannelwised
from components.transforms.check_item import CheckItemd
from components.transforms.instances import (
    InstancesToInteriord,
    InteriorToInstancesd,
    instances_of,
    interior_boundary,
)
from components.transforms.intensity import RandBlur, RandGamma, RandLowResolution, draw_around_one
from components.transforms.orientation import Orientation, Orientationd
from components.transforms.patch import RandPatchd
from components.transforms.percentiles import PercentilesToUint8d
from components.transforms.piecewise_affine import RandPiecewiseAffine, RandPiecewiseAffined
from components.transforms.resample import ResampleSpacing, ResampleSpacingd
from components.transforms.resize_slices import ResizeSlices, ResizeSlicesd
from components.transforms.rotate_scale import RandRotateScaled
from components.transforms.sample_labels import sample_labels
from components.transforms.slices import BlurSourceSlicesd, RandSheard
from components.transforms.whole import LoadWholeImaged

__all__ = [
    "BlurSourceSlicesd",
    "CheckItemd",
    "InstancesToInteriord",
    "InteriorToInstancesd",
    "LoadWholeImaged",
    "Orientation",
    "Orientationd",
    "PercentilesToUint8d",
    "RandBlur",
    "RandChannelwised",
    "RandGamma",
    "RandLowResolution",
    "RandPatchd",
    "RandPiecewiseAffine",
    "RandPiecewiseAffined",
    "RandRotateScaled",
    "RandSheard",
    "ResampleSpacing",
    "ResampleSpacingd",
    "ResizeSlices",
    "ResizeSlicesd",
    "draw_around_one",
    "instances_of",
    "interior_boundary",
    "sample_labels",
]
