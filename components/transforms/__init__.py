"""Transforms that MONAI does not have."""

from .channelwise import PerChanneld, RandChannelwised
from .check_item import CheckItemd
from .instances import (
    InstancesToInteriord,
    InteriorToInstancesd,
    instances_of,
    interior_boundary,
)
from .intensity import RandBlur, RandGamma, RandLowResolution, draw_around_one
from .orientation import Orientation, Orientationd
from .patch import RandPatchd
from .percentiles import PercentilesToUint8d
from .piecewise_affine import RandPiecewiseAffine, RandPiecewiseAffined
from .regions import RegionsToLabelsd
from .resample import ResampleSpacing, ResampleSpacingd
from .resize_slices import ResizeSlices, ResizeSlicesd
from .rotate_scale import RandRotateScaled
from .sample_labels import sample_labels
from .save_map import SaveMapd
from .slices import BlurSourceSlicesd, RandSheard
from .whole import LoadWholeImaged

__all__ = [
    "BlurSourceSlicesd",
    "CheckItemd",
    "InstancesToInteriord",
    "InteriorToInstancesd",
    "LoadWholeImaged",
    "Orientation",
    "Orientationd",
    "PerChanneld",
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
    "RegionsToLabelsd",
    "ResampleSpacing",
    "ResampleSpacingd",
    "ResizeSlices",
    "ResizeSlicesd",
    "SaveMapd",
    "draw_around_one",
    "instances_of",
    "interior_boundary",
    "sample_labels",
]
