"""The sample of xlstm_cells: a micrograph of nuclei, its left half for training, its right for the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.images.intensities import stretched_rgb

from ..dataset import Dataset
from ..labels import CLASSES
from ..output import Output
from ..reading import read_picture
from .ct import SOURCE

NAME = "StarDist nuclei sample"
BUNDLE = "xlstm_cells"
HALF = 256
"""The picture has 512 × 512 pixels."""
TRAINING_ROWS = 384
"""Rows of the left half from the top on that are training; those below are validation."""
TILE = 128
TEST_TILE = 256


def build(folder: Path, bundle: str = BUNDLE, min_size: int = 16) -> Dataset:
    """Write the images, labels and instances into a folder.

    Args:
        folder: the data set.
        bundle: the bundle that it is for.
        min_size: smallest interior that the labels keep, in pixels.

    Returns:
        The description, with the lists of what was written.
    """
    from components.transforms.instances import interior_boundary

    picture, instances = read_picture(SOURCE / "nuclei.png"), read_picture(SOURCE / "nuclei_instances.png")
    dataset = Dataset(
        name=NAME,
        bundle=bundle,
        description="Tiles of one fluorescence micrograph of cell nuclei, grey in three equal channels, with interior "
        "and boundary of each nucleus; the nuclei themselves are in the folder instances.",
        modality="microscopy",
        source="PyPI wheel of stardist 0.9.2, data/images/img2d.tif and mask2d.tif",
        licence="BSD-3-Clause",
        labels=CLASSES[bundle],
        split=f"The left half, down to row {TRAINING_ROWS}, is training in tiles of {TILE} × {TILE}; below it is the "
        f"validation tile of {TILE} × {HALF}. The right half is the test in two tiles of {TEST_TILE} × {TEST_TILE}. "
        "No pixel is in two parts; nuclei on an edge between tiles are cut.",
        caution="Training, validation and test are parts of the same micrograph: this is a demonstration, and its "
        "scores say nothing about other images.",
        details={
            "spacing": "none",
            "intensities": "each half stretched from its own percentiles 1 and 99 over non-zero to 8 bits",
        },
    )
    halves = [stretched_rgb(picture[:, :HALF]), stretched_rgb(picture[:, HALF:])]
    stretched = np.concatenate(halves, axis=1)
    output = Output(folder)
    for part, name, rows, columns in _tiles():
        tile = instances[rows, columns]
        image = np.ascontiguousarray(stretched[rows, columns])
        output.picture(part, name, image, interior_boundary(tile, min_size), tile)
    dataset.take(output.record())
    return dataset


def _tiles() -> list[tuple[str, str, slice, slice]]:
    def tile(part: str, row: int, column: int, height: int, width: int) -> tuple[str, str, slice, slice]:
        return part, f"nuclei_r{row:03d}_c{column:03d}", slice(row, row + height), slice(column, column + width)

    training = [
        tile("training", row, column, TILE, TILE)
        for row in range(0, TRAINING_ROWS, TILE)
        for column in range(0, HALF, TILE)
    ]
    validation = [tile("validation", TRAINING_ROWS, 0, 2 * HALF - TRAINING_ROWS, HALF)]
    return training + validation + [tile("test", row, HALF, TEST_TILE, TEST_TILE) for row in (0, TEST_TILE)]
