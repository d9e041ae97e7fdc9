"""Slices as small files: the image, and the labels and the errors as transparent layers above it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, features
from scipy import ndimage

from .colours import ERRORS, LABELS, rgb
from .volume import Plane, Volume

SIDE = {False: 256, True: 512}
"""Pixels of the longer side of a slice of a volume, and of a picture."""
FILL, EDGE = 96, 255
"""Opacity of an area and of its outline."""
QUALITY = 80
"""Of the lossy pictures, 0 … 100."""


@dataclass(frozen=True)
class Slices:
    """Slices of a case in a plane.

    Args:
        plane: the plane.
        numbers: number of each slice in the volume, from 0.
        total: how many slices the volume has.
        start: place in ``numbers`` of the slice that is shown first.
        layers: for "image", "truth", "prediction" and "errors" the ``data:`` address of each slice; without a ground
            truth there is no "truth" and no "errors".
        size: width and height in pixels.
    """

    plane: Plane
    numbers: list[int]
    total: int
    start: int
    layers: dict[str, list[str]]
    size: tuple[int, int]

    @property
    def bytes(self) -> int:
        """Length of all addresses together."""
        return sum(len(address) for addresses in self.layers.values() for address in addresses)


def draw(volume: Volume, plane: Plane, count: int) -> Slices:
    """Draw slices of a plane.

    Args:
        volume: the case.
        plane: one of its planes.
        count: largest number of slices.
    """
    numbers = volume.slices(plane, count)
    start = numbers.index(volume.fullest(plane, numbers))
    layers: dict[str, list[str]] = {}
    for number in numbers:
        image, *maps = layer_images(volume, plane, number)
        layers.setdefault("image", []).append(_address(image, lossy=True))
        for name, layer in zip(layer_names(volume)[1:], maps, strict=True):
            layers.setdefault(name, []).append(_address(layer))
    return Slices(plane, numbers, volume.image.shape[plane.axis], start, layers, image.size)


def layer_names(volume: Volume) -> list[str]:
    """Names of the layers of a case, the image first."""
    return ["image", *(["truth"] if volume.truth is not None else []), "prediction",
            *(["errors"] if volume.truth is not None else [])]  # fmt: skip


def layer_images(volume: Volume, plane: Plane, number: int, side: int | None = None) -> list[Image.Image]:
    """The layers of a slice with square pixels, in the order of :func:`layer_names`: the image, then palettes.

    Args:
        volume: the case.
        plane: one of its planes.
        number: of the slice.
        side: pixels of the longer side; by default those of :data:`SIDE`.
    """
    size = _size(volume, plane, side or SIDE[volume.flat])
    image = Image.fromarray(np.ascontiguousarray(volume.cut(volume.image, plane, number)))
    layers = [image.resize(size, Image.Resampling.BILINEAR)]
    for array, colours in (
        (volume.truth, LABELS),
        (volume.prediction, LABELS),
        (None if volume.truth is None else volume.errors, [colour for colour, _ in ERRORS.values()]),
    ):
        if array is not None:
            labels = Image.fromarray(np.ascontiguousarray(volume.cut(array, plane, number)).astype(np.int32))
            resized = np.asarray(labels.resize(size, Image.Resampling.NEAREST))
            layers.append(_layer(resized, colours, outlined=colours is LABELS))
    return layers


def composed(image: Image.Image, layer: Image.Image | None = None) -> Image.Image:
    """A layer above an image, as an RGB picture."""
    base = image.convert("RGBA")
    return (base if layer is None else Image.alpha_composite(base, layer.convert("RGBA"))).convert("RGB")


def _size(volume: Volume, plane: Plane, side: int) -> tuple[int, int]:
    rows, columns = volume.cut(volume.prediction, plane, 0).shape
    height, width = (n * size for n, size in zip((rows, columns), volume.pixel(plane), strict=True))
    scale = side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _layer(labels: np.ndarray, colours: tuple[str, ...] | list[str], outlined: bool) -> Image.Image:
    """A palette: 0 is transparent, the areas of label k have colour k; an outline has the same colour, opaque."""
    numbers = np.where(labels > 0, (labels - 1) % len(colours) + 1, 0).astype(np.uint8)
    if outlined:
        edge = (ndimage.maximum_filter(labels, 3) != labels) | (ndimage.minimum_filter(labels, 3) != labels)
        numbers[edge & (labels > 0)] += len(colours)
    layer = Image.fromarray(numbers).convert("P")
    layer.putpalette([0, 0, 0, *(part for _ in range(2) for colour in colours for part in rgb(colour))])
    opacity = FILL if outlined else 2 * FILL
    layer.info["transparency"] = bytes([0, *[opacity] * len(colours), *[EDGE] * len(colours)])
    return layer


def _address(image: Image.Image, lossy: bool = False) -> str:
    file = io.BytesIO()
    if lossy and features.check("webp"):
        image.save(file, "WEBP", quality=QUALITY, method=6)
    else:
        image.save(file, "PNG", optimize=True)
    kind = "webp" if lossy and features.check("webp") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
