"""Pictures of ground truth and prediction over the image."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy import ndimage

from components.files import replacing

from ..data.reading import read_nifti, read_picture
from ..errors import UserError
from .results import Case, is_nifti

COLOURS = (
    "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#b79cff", "#42d4f4", "#f032e6", "#ffe119",
    "#bfef45", "#fabed4", "#469990", "#9a6324", "#aaffc3",
)  # fmt: skip
WINDOWS = {"CT": (-125.0, 275.0)}
"""Intensities shown as black and white; pictures of 8 bits are shown as they are, all others from their 1st to their
99th percentile."""
HEIGHT = 320


def colour(label: int) -> str:
    """Colour of a label from 1 on, as ``#rrggbb``."""
    return COLOURS[(label - 1) % len(COLOURS)]


@dataclass(frozen=True)
class Volume:
    """A test case on one grid; a picture is a volume of one slice.

    NIfTI images have rows to posterior and columns to the patient's left, pictures are as stored.

    Args:
        name: name of the case.
        image: intensities in [0, 1], rows × columns × slices, or rows × columns × slices × 3 for colours.
        truth: labels of the ground truth, rows × columns × slices, or None.
        prediction: predicted labels, rows × columns × slices.
        pixel: height and width of a pixel, in mm or any other unit.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray | None
    prediction: np.ndarray
    pixel: tuple[float, float]

    def slices(self, count: int) -> list[int]:
        """Numbers of up to ``count`` slices, spread evenly over those with a label."""
        labelled = self.prediction.any((0, 1))
        if self.truth is not None:
            labelled |= self.truth.any((0, 1))
        found = np.flatnonzero(labelled) if labelled.any() else np.arange(self.image.shape[2])
        places = (np.arange(count) + 0.5) / count * len(found)
        return sorted({int(found[int(place)]) for place in places})

    def panels(self, z: int) -> dict[str, np.ndarray]:
        """The image, the ground truth and the prediction in a slice, as RGB in [0, 1] with square pixels."""
        image = _resized(np.atleast_3d(self.image[:, :, z]), self.pixel, order=1).clip(0, 1)
        rgb = np.broadcast_to(image, (*image.shape[:2], 3))
        maps = {"ground truth": self.truth, "prediction": self.prediction}
        layers = {
            name: _coloured(rgb, _resized(labels[:, :, z], self.pixel, order=0))
            for name, labels in maps.items()
            if labels is not None
        }
        return {"image": rgb, **layers}


def read_volume(case: Case, modality: str = "") -> Volume:
    """Read a case and bring it on the grid of its image.

    Raises:
        UserError: if a file is missing or damaged, or the label or the prediction is on another grid.
    """
    if not case.prediction.is_file():
        raise UserError(f"there is no {case.prediction}, run inferring first")
    image, pixel = _read(case.image)
    eight_bits = not is_nifti(case.image) and image.dtype == np.uint8
    image = np.asarray(image, dtype=np.float32)
    low, high = (0.0, 255.0) if eight_bits else WINDOWS.get(modality, tuple(np.percentile(image, (1, 99))))
    return Volume(
        case.name,
        (image - low) / max(high - low, 1e-6),
        None if case.label is None else _labels(case.label, image.shape[:3]),
        _labels(case.prediction, image.shape[:3]),
        pixel,
    )


def picture(panels: Mapping[str, np.ndarray]) -> str:
    """The panels of a slice side by side, as a ``data:`` address of a PNG."""
    gap = np.ones((HEIGHT, 6, 3)) * 0.5
    parts = [part for panel in panels.values() for part in (gap, panel)][1:]
    png = io.BytesIO()
    matplotlib.image.imsave(png, np.concatenate(parts, axis=1), format="png")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")


def write_overview(path: Path, columns: Sequence[Mapping[str, np.ndarray]], class_names: Sequence[str]) -> None:
    """Write one picture: a column for each of some slices, with the names of the classes below.

    Args:
        path: the PNG file.
        columns: the panels of each slice, see :meth:`Volume.panels`.
        class_names: names of the labels from 1 on.
    """
    rows = list(max(columns, key=len))
    widths = [column["image"].shape[1] for column in columns]
    size = 2.6 * sum(widths) / HEIGHT + 0.4, 2.6 * len(rows) + 0.7
    figure = Figure(figsize=size, facecolor="#111111")
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    axes = figure.subplots(len(rows), len(columns), squeeze=False, width_ratios=widths)
    for (row, column), place in np.ndenumerate(axes):
        if rows[row] not in columns[column]:
            place.set_axis_off()
            continue
        place.imshow(columns[column][rows[row]])
        place.set(xticks=[], yticks=[])
        if column == 0:
            place.set_ylabel(rows[row], color="white")
    handles = [Patch(color=colour(label), label=name) for label, name in enumerate(class_names, start=1)]
    ncols = int(min(max(size[0] // 2, 1), 4))
    figure.legend(handles=handles, loc="outside lower center", ncols=ncols, frameon=False, labelcolor="white")
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=90, metadata={"Software": None})


def _read(path: Path) -> tuple[np.ndarray, tuple[float, float]]:
    if not is_nifti(path):
        return read_picture(path)[:, :, None], (1.0, 1.0)
    array, image = read_nifti(path)
    height, width = image.header.get_zooms()[:2]
    return array, (float(height), float(width))


def _labels(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    labels, _ = _read(path)
    if labels.shape != shape:
        raise UserError(f"{path.name} has shape {labels.shape}, but its image {shape}: they must be on one grid")
    return np.rint(labels).astype(np.int16)


def _resized(array: np.ndarray, pixel: tuple[float, float], order: int) -> np.ndarray:
    height, width = array.shape[0] * pixel[0], array.shape[1] * pixel[1]
    size = HEIGHT, max(1, round(HEIGHT * width / height))
    zoom = [*(new / old for new, old in zip(size, array.shape[:2], strict=True)), *[1] * (array.ndim - 2)]
    return ndimage.zoom(array, zoom, order=order, mode="nearest", grid_mode=True)


def _coloured(rgb: np.ndarray, labels: np.ndarray) -> np.ndarray:
    result = rgb.copy()
    edge = (ndimage.maximum_filter(labels, 3) != labels) | (ndimage.minimum_filter(labels, 3) != labels)
    for label in np.unique(labels[labels > 0]):
        here = labels == label
        ink = np.array(matplotlib.colors.to_rgb(colour(int(label))))
        result[here] = 0.6 * rgb[here] + 0.4 * ink
        result[here & edge] = ink
    return result
