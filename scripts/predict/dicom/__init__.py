"""DICOM: which files belong together, the volume that they make up, and label maps as DICOM segmentations."""

from .files import is_dicom, is_directory, library
from .references import check_source
from .segmentation import write_segmentation
from .series import Series, find_series
from .volume import Volume, read_series

__all__ = [
    "Series",
    "Volume",
    "check_source",
    "find_series",
    "is_dicom",
    "is_directory",
    "library",
    "read_series",
    "write_segmentation",
]
