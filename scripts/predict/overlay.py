"""A picture of a prediction: the image with the areas and outlines of what was found."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from components.files import replacing
from components.images.exif import displayed
from components.images.orientation import DISPLAY, reoriented

from ..report.pictures import composed, layer_images
from ..report.volume import Volume, grey_levels
from .predictor import Prediction
from .reading import Loaded

SIDE = 384
"""Pixels of the longer side of a slice of a volume; pictures keep their size."""
GAP = 4
"""Pixels between the slices."""


def overlay(prediction: Prediction, loaded: Loaded, modality: str = "") -> Image.Image:
    """Draw the label map above the image.

    A picture is shown as it is displayed. Of a volume there are three slices side by side, axial, coronal and sagittal,
    each where most is labelled. Every class, or object, has a colour; with many of them the colours repeat.

    Args:
        prediction: what was found.
        loaded: the image.
        modality: of the image, which says how it is windowed, such as "CT".
    """
    volume = _volume(prediction, loaded, modality)
    drawn = []
    for plane in volume.planes:
        number = volume.fullest(plane, volume.slices(plane, volume.image.shape[plane.axis]))
        side = max(volume.image.shape[:2]) if volume.flat else SIDE
        drawn.append(composed(*layer_images(volume, plane, number, side)))
    width = sum(image.width for image in drawn) + GAP * (len(drawn) - 1)
    result = Image.new("RGB", (width, max(image.height for image in drawn)))
    left = 0
    for image in drawn:
        result.paste(image, (left, (result.height - image.height) // 2))
        left += image.width + GAP
    return result


def write_overlay(path: Path, prediction: Prediction, loaded: Loaded, modality: str = "") -> None:
    """Write :func:`overlay` as PNG, whole or not at all."""
    with replacing(path) as partial:
        overlay(prediction, loaded, modality).save(partial)


def _volume(prediction: Prediction, loaded: Loaded, modality: str) -> Volume:
    if loaded.image is None:
        labels = displayed(prediction.labels, loaded.orientation)
        image = np.asarray(loaded.reader.picture)[:, :, None]
        return Volume("", image, None, labels[:, :, None].astype(np.int32), (1.0, 1.0, 1.0), flat=True)
    image = reoriented(loaded.image, DISPLAY)
    labels = reoriented(nib.Nifti1Image(prediction.labels.astype(np.int32), loaded.image.affine), DISPLAY)
    rows, columns, slices = (float(size) for size in image.header.get_zooms()[:3])
    levels = grey_levels(np.asanyarray(image.dataobj), modality)
    return Volume("", levels, None, np.asanyarray(labels.dataobj), (rows, columns, slices))
