"""Pictures of ground truth and prediction over the image."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy import ndimage

from ..data.nifti import load
from .results import Case

COLOURS = (
    "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#b79cff", "#42d4f4", "#f032e6", "#ffe119",
    "#bfef45", "#fabed4", "#469990", "#9a6324", "#aaffc3",
)  # fmt: skip
WINDOWS = {"CT": (-125.0, 275.0)}
"""Intensities shown as black and white; other modalities take their 1st and 99th percentile."""
HEIGHT = 320


def colour(label: int) -> str:
    """Colour of a label from 1 on, as ``#rrggbb``."""
    return COLOURS[(label - 1) % len(COLOURS)]


@dataclass(frozen=True)
class Volume:
    """A test case on one grid, rows to posterior and columns to the patient's left.

    Args:
        name: name of the case.
        grey: intensities in [0, 1], rows × columns × slices.
        truth: labels of the ground truth, or None.
        prediction: predicted labels.
        pixel: height and width of a pixel in mm.
    """

    name: str
    grey: np.ndarray
    truth: np.ndarray | None
    prediction: np.ndarray
    pixel: tuple[float, float]

    def slices(self, count: int) -> list[int]:
        """Numbers of up to ``count`` slices, spread evenly over those with a label."""
        labelled = self.prediction.any((0, 1))
        if self.truth is not None:
            labelled |= self.truth.any((0, 1))
        found = np.flatnonzero(labelled) if labelled.any() else np.arange(self.grey.shape[2])
        places = (np.arange(count) + 0.5) / count * len(found)
        return sorted({int(found[int(place)]) for place in places})

    def panels(self, z: int) -> list[tuple[str, np.ndarray]]:
        """The image, the ground truth and the prediction in a slice, as RGB in [0, 1] with square pixels."""
        grey = _resized(self.grey[:, :, z], self.pixel, order=1).clip(0, 1)
        rgb = np.repeat(grey[..., None], 3, axis=2)
        maps = {"ground truth": self.truth, "prediction": self.prediction}
        layers = {
            name: _coloured(rgb, _resized(labels[:, :, z], self.pixel, order=0))
            for name, labels in maps.items()
            if labels is not None
        }
        return [("image", rgb), *layers.items()]


def read_volume(case: Case, modality: str = "") -> Volume:
    """Read a case and bring it on the grid of its image.

    Raises:
        ValueError: if the label or the prediction is on another grid.
        FileNotFoundError: if a file is missing.
    """
    image = load(case.image)
    grey = np.asarray(image.dataobj, dtype=np.float32)
    low, high = WINDOWS.get(modality, tuple(np.percentile(grey, (1, 99))))
    return Volume(
        case.name,
        (grey - low) / max(high - low, 1e-6),
        None if case.label is None else _labels(case.label, grey.shape),
        _labels(case.prediction, grey.shape),
        tuple(float(size) for size in image.header.get_zooms()[:2]),
    )


def picture(volume: Volume, z: int) -> str:
    """The panels of a slice side by side, as a ``data:`` address of a PNG."""
    gap = np.ones((HEIGHT, 6, 3)) * 0.5
    parts = [part for _, panel in volume.panels(z) for part in (gap, panel)][1:]
    png = io.BytesIO()
    matplotlib.image.imsave(png, np.concatenate(parts, axis=1), format="png")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")


def write_overview(path: Path, volume: Volume, class_names: Sequence[str], count: int = 3) -> None:
    """Write one picture of a case: a column for each of some slices, with the names of the classes below.

    Args:
        path: the PNG file.
        volume: the case.
        class_names: names of the foreground classes.
        count: number of slices.
    """
    slices = volume.slices(count)
    columns = [volume.panels(z) for z in slices]
    rows, width, height = len(columns[0]), columns[0][0][1].shape[1], HEIGHT
    figure = Figure(figsize=(2.6 * len(slices) * width / height + 0.4, 2.6 * rows + 0.7), facecolor="#111111")
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    axes = figure.subplots(rows, len(slices), squeeze=False)
    for column, panels in enumerate(columns):
        for row, (name, panel) in enumerate(panels):
            axes[row, column].imshow(panel)
            axes[row, column].set(xticks=[], yticks=[])
            if column == 0:
                axes[row, column].set_ylabel(name, color="white")
    handles = [Patch(color=colour(label), label=name) for label, name in enumerate(class_names, start=1)]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, labelcolor="white")
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, format="png", dpi=90, metadata={"Software": None})
    partial.replace(path)


def _labels(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    labels = np.asarray(load(path).dataobj)
    if labels.shape != shape:
        raise ValueError(f"{path.name} has shape {labels.shape}, but its image {shape}: they must be on one grid")
    return np.rint(labels).astype(np.int16)


def _resized(array: np.ndarray, pixel: tuple[float, float], order: int) -> np.ndarray:
    height, width = array.shape[0] * pixel[0], array.shape[1] * pixel[1]
    size = HEIGHT, max(1, round(HEIGHT * width / height))
    zoom = [new / old for new, old in zip(size, array.shape, strict=True)]
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
