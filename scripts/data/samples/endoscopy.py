"""The sample of xlstm_endoscopy: frames of instruments over tissue that a generator draws.

No endoscopy with labels was found that may be redistributed, so the scene is drawn: uneven red tissue with vessels,
metal shafts that come from the border and end in jaws of the shape of each kind, movement, highlights of the lamp and
noise of the camera.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..dataset import Dataset, synthetic
from ..output import Output

NAME = "Synthetic endoscopy sample"
BUNDLE = "xlstm_endoscopy"

HEIGHT, WIDTH = 180, 320
SUBFRAMES = 3
"""Moments that are averaged into a frame, which blurs what moves."""


@dataclass(frozen=True)
class Tool:
    """Shape of a kind of instrument; lengths in pixels, angles in radians.

    Args:
        shaft: radius of the shaft.
        wrist: length between shaft and jaws.
        jaw: length of a jaw.
        opening: angle between a jaw and the axis when half open.
        thickness: radius of a jaw at its joint and at its tip.
        jaws: how many there are.
        wrist_colour: RGB in [0, 1].
        jaw_colour: RGB in [0, 1].
    """

    shaft: float
    wrist: float
    jaw: float
    opening: float
    thickness: tuple[float, float]
    jaws: int
    wrist_colour: tuple[float, float, float]
    jaw_colour: tuple[float, float, float]


STEEL, DARK = (0.62, 0.64, 0.68), (0.3, 0.31, 0.34)
TOOLS = {
    1: Tool(9, 14, 30, 0.22, (5, 2), 2, STEEL, (0.72, 0.74, 0.78)),
    2: Tool(9, 16, 26, 0.28, (7, 5), 2, STEEL, (0.5, 0.52, 0.56)),
    3: Tool(9, 12, 17, 0.14, (6, 4), 2, DARK, (0.8, 0.72, 0.45)),
    4: Tool(10, 20, 34, 0.10, (7, 6), 2, (0.25, 0.35, 0.62), (0.85, 0.87, 0.9)),
    5: Tool(10, 18, 40, 0.38, (4, 4), 2, STEEL, (0.6, 0.6, 0.62)),
    6: Tool(9, 20, 24, 0.30, (4, 1), 2, (0.85, 0.45, 0.15), (0.66, 0.68, 0.72)),
    7: Tool(6, 4, 46, 0.0, (13, 13), 1, DARK, (0.45, 0.62, 0.58)),
}  # fmt: skip
"""The kinds of instruments by class; the scissors have an orange cover, the ultrasound probe is one thick block."""


@dataclass(frozen=True)
class Sequence:
    """A video.

    Args:
        part: "training", "validation" or "test".
        number: number of the video, also the seed.
        frames: number of frames.
        classes: the instruments in it, in the order of :data:`ENTRIES`.
    """

    part: str
    number: int
    frames: int
    classes: tuple[int, ...]


SEQUENCES = (
    Sequence("training", 1, 6, (1, 2)),
    Sequence("training", 2, 6, (3, 6, 7)),
    Sequence("training", 3, 6, (5, 4)),
    Sequence("training", 4, 6, (6, 1, 2)),
    Sequence("validation", 5, 4, (2, 3, 5)),
    Sequence("test", 6, 4, (4, 1, 7)),
    Sequence("test", 7, 4, (3, 6, 5)),
    Sequence("test", 8, 3, (2, 6)),
)
ENTRIES = (((150, -20), (95, 110)), ((150, 340), (95, 215)), ((-20, 150), (62, 162)))
"""Where the instruments come from and where their wrists are on average, rows and columns."""


def build(folder: Path) -> Dataset:
    """Write the images and labels into a folder.

    Returns:
        The description, with the lists of what was written.
    """
    videos = "; ".join(
        f"{part} " + " ".join(str(sequence.number) for sequence in SEQUENCES if sequence.part == part)
        for part in ("training", "validation", "test")
    )
    dataset = synthetic(
        NAME,
        BUNDLE,
        __name__,
        of="real surgery",
        description="Synthetic: frames of surgical instruments over tissue, drawn by a generator, not filmed. The "
        "labels are exact.",
        modality="endoscopy",
        split=f"By synthetic video: {videos}.",
        details={"spacing": "none", "intensities": "RGB, 8 bits"},
    )
    output = Output(folder)
    for sequence in SEQUENCES:
        for frame, (image, label) in enumerate(film(sequence)):
            output.picture(sequence.part, f"synthetic{sequence.number:02d}_frame{frame:03d}", image, label)
    dataset.take(output.record())
    return dataset


def film(sequence: Sequence) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw the frames of a video.

    Yields:
        The picture, H × W × 3 of uint8, and the classes, H × W of uint8.
    """
    rng = np.random.default_rng(sequence.number)
    tissue = _tissue(rng)
    paths = [rng.uniform(0, 2 * np.pi, 4) for _ in sequence.classes]
    for frame in range(sequence.frames):
        moments = [_moment(sequence, tissue, paths, frame + 0.12 * step) for step in range(SUBFRAMES)]
        picture = np.mean([picture for picture, _ in moments], axis=0)
        picture = ndimage.gaussian_filter(picture, (0.6, 0.6, 0)) * _lamp()[..., None]
        picture += rng.normal(0, 0.012, picture.shape)
        yield (np.clip(picture, 0, 1) * 255).round().astype(np.uint8), moments[SUBFRAMES // 2][1]


def _moment(
    sequence: Sequence, tissue: np.ndarray, paths: list[np.ndarray], time: float
) -> tuple[np.ndarray, np.ndarray]:
    drift = 3 * np.sin(0.5 * time + sequence.number), 4 * np.cos(0.4 * time)
    picture = ndimage.shift(tissue, (*drift, 0), order=1, mode="nearest")
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, (start, wrist), path in zip(sequence.classes, ENTRIES, paths, strict=False):
        swing = np.array([14 * np.sin(0.7 * time + path[0]), 20 * np.sin(0.5 * time + path[1])])
        open_by = 1 + 0.6 * np.sin(0.9 * time + path[2])
        _draw(picture, label, number, np.array(start, float), np.array(wrist) + swing, open_by)
    return picture, label


def _draw(
    picture: np.ndarray, label: np.ndarray, number: int, start: np.ndarray, wrist: np.ndarray, open_by: float
) -> None:
    """Draw an instrument into a picture and its class into a label, both in place."""
    tool = TOOLS[number]
    rows, columns = np.indices(label.shape, dtype=float)
    axis = (wrist - start) / np.linalg.norm(wrist - start)
    along = (rows - wrist[0]) * axis[0] + (columns - wrist[1]) * axis[1]
    across = (columns - wrist[1]) * axis[0] - (rows - wrist[0]) * axis[1]
    shaft = (along <= 0) & (np.abs(across) < tool.shaft)
    middle = _capsule(along, across, (0, 0), 0.0, tool.wrist, (0.85 * tool.shaft, 0.7 * tool.shaft))
    angles = (tool.opening * open_by, -tool.opening * open_by)[: tool.jaws]
    jaws = [_capsule(along, across, (tool.wrist, 0), angle, tool.jaw, tool.thickness) for angle in angles]

    around = np.clip(across / tool.shaft, -1, 1)
    for inside, colour in ((shaft, DARK), (middle < 0, tool.wrist_colour)):
        shade = 0.45 + 0.55 * np.sqrt(1 - around**2) + 0.5 * np.exp(-(((around + 0.35) / 0.12) ** 2))
        picture[inside] = (np.array(colour) * shade[..., None])[inside]
        label[inside] = number
    for jaw in jaws:
        shade = 0.75 + 0.35 * np.clip(-jaw / tool.thickness[0], 0, 1)
        picture[jaw < 0] = (np.array(tool.jaw_colour) * shade[..., None])[jaw < 0]
        label[jaw < 0] = number


def _capsule(
    along: np.ndarray, across: np.ndarray, joint: tuple[float, float], angle: float, length: float,
    radii: tuple[float, float],
) -> np.ndarray:  # fmt: skip
    """Distance of each pixel from a rod that grows thicker or thinner; negative inside."""
    u, v = along - joint[0], across - joint[1]
    place = np.clip((u * np.cos(angle) + v * np.sin(angle)) / length, 0, 1)
    gap = np.hypot(u - place * length * np.cos(angle), v - place * length * np.sin(angle))
    return gap - (radii[0] + (radii[1] - radii[0]) * place)


def _tissue(rng: np.random.Generator) -> np.ndarray:
    """Uneven red tissue with vessels and wet highlights, RGB in [0, 1]."""
    folds, grain = _smooth(rng, 22), _smooth(rng, 3)
    colour = np.array([0.66, 0.28, 0.24]) + folds[..., None] * np.array([0.16, 0.14, 0.12])
    colour = colour + 0.05 * grain[..., None]
    vessels = np.exp(-((_smooth(rng, 14) / 0.035) ** 2))
    colour = colour - vessels[..., None] * np.array([0.12, 0.12, 0.1])
    wet = np.clip(_smooth(rng, 4) + 0.6 * folds - 0.85, 0, None) * 6
    return np.clip(colour + np.clip(wet, 0, 1)[..., None] * 0.8, 0, 1)


def _lamp() -> np.ndarray:
    rows, columns = np.indices((HEIGHT, WIDTH), dtype=float)
    distance = np.hypot((rows - HEIGHT / 2) / HEIGHT, (columns - WIDTH / 2) / WIDTH)
    return 1.15 - 0.9 * distance**2


def _smooth(rng: np.random.Generator, sigma: float) -> np.ndarray:
    field = ndimage.gaussian_filter(rng.normal(size=(HEIGHT, WIDTH)), sigma, mode="reflect")
    return field / np.abs(field).max()
