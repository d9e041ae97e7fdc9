"""The sample of xlstm_nuclei: that of xlstm_cells, with the smaller interiors that its labels keep."""

from __future__ import annotations

from pathlib import Path

from ..dataset import Dataset
from ..sources.bowl import BUNDLE, SMALLEST_INTERIOR
from . import nuclei

NAME = nuclei.NAME


def build(folder: Path) -> Dataset:
    """Write the images, labels and instances into a folder.

    Returns:
        The description, with the lists of what was written.
    """
    return nuclei.build(folder, BUNDLE, SMALLEST_INTERIOR)
