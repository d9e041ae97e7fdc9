"""The sample of msvm_acdc: short-axis slices of hearts that a generator draws.

No cardiac MR with labels was found that may be redistributed, so the anatomy is drawn: a left ventricle with its ring
of muscle, a right ventricle as a crescent beside it, lungs, liver and chest wall around them, and what a scanner adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from components.images.intensities import unit_range
from components.images.orientation import unknown_grid

from ..dataset import Dataset, synthetic
from ..output import Output

NAME = "Synthetic cardiac MR sample"
BUNDLE = "msvm_acdc"

PATIENTS = {"training": (1, 2, 3, 4), "validation": (5,), "test": (6, 7)}
PIXELS = 112
SLICES = 8
SPACING = (1.5, 1.5, 10.0)
"""Pixel height, pixel width and distance of the slices in mm."""

BLOOD, MUSCLE, FAT, LIVER, TISSUE, LUNG = 0.85, 0.32, 0.7, 0.45, 0.4, 0.05
"""Brightness of what is drawn, as in a balanced steady-state sequence."""
RV, MYOCARDIUM, LV = 1, 2, 3


@dataclass(frozen=True)
class Heart:
    """Shape of a heart; lengths in mm, angles in radians.

    Args:
        centre: place of the left ventricle from the middle of the image, rows and columns.
        cavity: radius of the left ventricle's blood at the base in end diastole.
        wall: thickness of its muscle in end diastole.
        ejection: part by which the cavity's radius shrinks until end systole.
        turn: direction from the left to the right ventricle, 0 is the patient's right.
        shifts: in-plane displacement of each slice by breathing, slices × 2.
    """

    centre: np.ndarray
    cavity: float
    wall: float
    ejection: float
    turn: float
    shifts: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator) -> Heart:
        """Draw a heart."""
        return cls(
            centre=rng.uniform(-6, 6, 2),
            cavity=rng.uniform(22, 28),
            wall=rng.uniform(8, 11),
            ejection=rng.uniform(0.25, 0.4),
            turn=rng.uniform(-0.5, 0.5),
            shifts=rng.normal(0, 1.2, (SLICES, 2)),
        )


def build(folder: Path) -> Dataset:
    """Write the images and labels into a folder.

    Returns:
        The description, with the lists of what was written.
    """
    dataset = synthetic(
        NAME,
        BUNDLE,
        __name__,
        of="real hearts",
        description="Synthetic: short-axis slices of hearts at end diastole (ED) and end systole (ES), drawn by a "
        "generator, not measured. The labels are exact.",
        modality="MR",
        split="By synthetic patient: " + "; ".join(f"{part} {' '.join(map(str, n))}" for part, n in PATIENTS.items())
        + ". Training items are single slices, the others are volumes.",
        details={"spacing": "1.5 × 1.5 × 10 mm", "intensities": "each volume scaled to [0, 1]"},
    )  # fmt: skip
    affine = unknown_grid(np.zeros((PIXELS, PIXELS, SLICES)), "PLS").affine @ np.diag([*SPACING, 1.0])
    output = Output(folder)
    for part, patients in PATIENTS.items():
        for patient in patients:
            rng = np.random.default_rng(patient)
            heart = Heart.random(rng)
            for phase, contraction in (("ED", 0.0), ("ES", 1.0)):
                labels = anatomy(heart, contraction)
                image = unit_range(scan(labels, heart, rng))
                write = output.slices if part == "training" else output.volume
                write(part, f"synthetic{patient:02d}_{phase}", image, labels, affine)
    dataset.take(output.record())
    return dataset


def anatomy(heart: Heart, contraction: float) -> np.ndarray:
    """Classes of the slices of a heart, from the apex to the base.

    Args:
        heart: its shape.
        contraction: 0 in end diastole, 1 in end systole.

    Returns:
        Labels of uint8, rows × columns × slices.
    """
    labels = np.zeros((PIXELS, PIXELS, SLICES), np.uint8)
    for z in range(SLICES):
        height = z / (SLICES - 1)
        taper = np.sqrt(0.12 + 0.88 * height)
        inner = heart.cavity * taper * (1 - heart.ejection * contraction)
        outer = heart.cavity * taper + heart.wall * (1 + 0.1 * contraction)
        y, x = _millimetres(heart, z)
        angle = np.arctan2(y, x)
        radius = np.hypot(y, x) / (1 + 0.04 * np.cos(3 * angle + 5 * heart.turn))
        across = -(x * np.cos(heart.turn) + y * np.sin(heart.turn))
        along = -x * np.sin(heart.turn) + y * np.cos(heart.turn)
        reach = 1.05 * outer * (1 - 0.15 * contraction)
        crescent = ((across - 0.75 * outer) / (0.95 * reach)) ** 2 + (along / (1.15 * reach)) ** 2 < 1
        if height > 0.1:
            labels[crescent & (across > 0.1 * outer), z] = RV
        labels[radius < outer, z] = MYOCARDIUM
        labels[radius < inner, z] = LV
    return labels


def scan(labels: np.ndarray, heart: Heart, rng: np.random.Generator) -> np.ndarray:
    """What a scanner shows of an anatomy.

    Blurred edges, papillary muscles, uneven sensitivity of the coils, ghosts of the moving blood and Rician noise.

    Args:
        labels: rows × columns × slices.
        heart: its shape.
        rng: source of the noise.

    Returns:
        Brightness from 0 on, whole numbers as a scanner stores them, of the same shape.
    """
    image = np.empty(labels.shape)
    for z in range(SLICES):
        y, x = _millimetres(heart, z)
        plane = _chest(y, x, z)
        for number, brightness in ((RV, BLOOD), (MYOCARDIUM, MUSCLE), (LV, BLOOD)):
            plane[labels[:, :, z] == number] = brightness
        radius = np.sqrt((labels[:, :, z] == LV).sum() * SPACING[0] * SPACING[1] / np.pi)
        for angle in (0.9, 2.4):
            near = np.hypot(y - 0.6 * radius * np.sin(angle), x - 0.6 * radius * np.cos(angle))
            plane[near < 0.16 * radius] = MUSCLE
        plane = plane * (1 + 0.06 * _smooth(rng, 3))
        moving = np.where(np.isin(labels[:, :, z], (RV, LV)), plane, 0)
        plane = plane + 0.04 * sum(np.roll(moving, shift, axis=0) for shift in (-PIXELS // 3, PIXELS // 3))
        image[:, :, z] = ndimage.gaussian_filter(plane, 0.7)
    image *= (1 + 0.25 * _smooth(rng, 30))[:, :, None]
    noise = rng.normal(0, 0.025, (2, *image.shape))
    return np.rint(400 * np.hypot(image + noise[0], noise[1]))


def _chest(y: np.ndarray, x: np.ndarray, z: int) -> np.ndarray:
    plane = np.full(y.shape, LUNG)
    body = (y / 95) ** 2 + (x / 120) ** 2
    plane[body > 0.62] = TISSUE
    plane[body > 0.78] = FAT
    plane[body > 1] = 0
    plane[(np.hypot(y, x) < 62) & (y > 18)] = TISSUE
    plane[np.hypot((y - 45 - 4 * z) / 34, (x + 30) / 62) < 1] = LIVER
    plane[np.hypot(y - 48, x - 34) < 11] = BLOOD
    return plane


def _millimetres(heart: Heart, z: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels in mm from the axis of the left ventricle."""
    middle = (PIXELS - 1) / 2
    place = heart.centre + heart.shifts[z]
    rows, columns = np.indices((PIXELS, PIXELS), dtype=float)
    return (rows - middle) * SPACING[0] - place[0], (columns - middle) * SPACING[1] - place[1]


def _smooth(rng: np.random.Generator, sigma: float) -> np.ndarray:
    field = ndimage.gaussian_filter(rng.normal(size=(PIXELS, PIXELS)), sigma, mode="nearest")
    return field / np.abs(field).max()
