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
from .previous_stage import AppendOneHotd, RandMorphologyd, RandRemoveComponentd
from .regions import RegionsToLabelsd, write_regions
from .resample import ResampleSpacing, ResampleSpacingd
from .resize_slices import ResizeSlices, ResizeSlicesd
from .rotate_scale import RandRotateScaled
from .sample_labels import sample_labels
from .save_map import SaveMapd
from .slices import BlurSourceSlicesd, RandSheard
from .whole import LoadWholeImaged

__all__ = [
    "AppendOneHotd",
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
    "RandMorphologyd",
    "RandPatchd",
    "RandPiecewiseAffine",
    "RandPiecewiseAffined",
    "RandRemoveComponentd",
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
    "write_regions",
]
