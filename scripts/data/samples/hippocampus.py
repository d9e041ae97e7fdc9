"""The sample of xlstm_hippocampus_mri_3d: bent rods in noise that a generator draws.

The real volumes are not part of scanseg. What is drawn has the size, the voxels and the two classes of the Decathlon's
crops, left and right ones, and no anatomy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from ..dataset import Dataset, synthetic
from ..output import Output

NAME = "Synthetic hippocampus sample"
BUNDLE = "xlstm_hippocampus_mri_3d"
CASES = {"training": (1, 2, 3, 4), "validation": (5,), "test": (6, 7)}
SHAPE = (50, 36, 35)
"""Rows to posterior, columns to the patient's left, slices to superior; 1 mm each."""
GREY, WHITE, FLUID = 0.6, 0.9, 0.15
"""Brightness of the rod, of what is around it, and of pools of fluid, as in T1-weighted MR."""
AFFINE = np.array([[0, -1.0, 0, 20], [-1, 0, 0, 30], [0, 0, 1, -30], [0, 0, 0, 1]])
"""From rows, columns and slices to mm, right to left and so on as NIfTI counts."""


def build(folder: Path) -> Dataset:
    """Write the images and labels into a folder.

    Returns:
        The description, with the lists of what was written.
    """
    dataset = synthetic(
        NAME,
        BUNDLE,
        __name__,
        of="patients",
        description="Bent rods in noise with an anterior and a posterior part, drawn by a generator.",
        modality="MR",
        split="Four volumes are training, one is validation, two are test.",
        details={"spacing": "1 mm", "intensities": "0 to about 1000"},
    )
    output = Output(folder)
    for part, numbers in CASES.items():
        for number in numbers:
            output.volume(part, f"synthetic_{number:03d}", *draw(number), AFFINE)
    dataset.take(output.record())
    return dataset


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A volume and its labels; odd seeds give a left, even ones a right rod."""
    rng = np.random.default_rng(seed)
    rows, columns, slices = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    side = 1 if seed % 2 else -1
    bend, tilt, thick = rng.uniform(0.15, 0.3), rng.uniform(-0.2, 0.2), rng.uniform(0.24, 0.3)
    across = columns - side * bend * (rows**2 - 0.3)
    up = slices - tilt - 0.35 * rows
    # The head, in front, is thicker than the tail.
    radius = thick * (1.15 - 0.35 * (rows + 1))
    inside = (across**2 + up**2 < radius**2) & (np.abs(rows) < rng.uniform(0.62, 0.72))
    border = rng.uniform(-0.15, 0.0)
    label = np.where(inside, np.where(rows < border, 1, 2), 0).astype(np.uint8)
    image = np.where(inside, GREY, WHITE)
    pool = ((columns - side * 0.7) ** 2 + (slices - 0.5) ** 2 < 0.05) & ~inside
    image = np.where(pool, FLUID, image)
    image = ndimage.gaussian_filter(image, 0.8) + rng.normal(0, 0.04, SHAPE)
    return (1000 * image.clip(0)).astype(np.int16), label
