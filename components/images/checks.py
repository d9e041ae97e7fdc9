"""What can be wrong with an image or a label map, as text that follows the name of the file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from .grid import shown
from .reading import Content

TOLERANCE_MM = 1e-3


def image_faults(content: Content, channels: int = 1) -> Iterator[str]:
    """What is wrong with the values and the place of an image or a label map.

    Args:
        content: the file.
        channels: number of channels that a volume may have in its last axis; a volume of one channel has three axes.

    Yields:
        One fault each, for example "has 2 voxels that are NaN or infinite".
    """
    array = content.array
    if array.dtype.kind not in "biuf":
        yield f"has values of type {array.dtype}, but each voxel must be one real number"
        return
    if not array.size:
        yield f"has shape {array.shape} and no voxel"
        return
    if array.dtype.kind == "f" and (bad := int(array.size - np.isfinite(array).sum())):
        yield f"has {bad} voxels that are NaN or infinite"
    if content.affine is None:
        return
    if array.ndim != 3 and array.shape[3:] != (channels,):
        yield f"has {array.ndim} axes ({shown(array.shape)}), but 3 are needed, with each channel in a separate file"
        return


def constant(images: Sequence[Content]) -> str:
    """The fault of an image that has one value throughout in all its channels, else an empty text.

    A single slice of a volume may lie beside the body.
    """
    arrays = [image.array for image in images]
    single = images[0].affine is not None and (arrays[0].ndim < 3 or arrays[0].shape[2] == 1)
    if single or not all(array.size and array.min() == array.max() for array in arrays):
        return ""
    return f"is {arrays[0].flat[0]:g} in all its voxels: there is nothing to segment"


def label_faults(content: Content, known: Collection[int] | None, names: str = "") -> Iterator[str]:
    """What is wrong with the numbers of a label map.

    Args:
        content: the file.
        known: the numbers that there may be; None if any whole number from 0 on may be.
        names: who knows these numbers, for example "dataset.json names 1 liver".
    """
    array = content.array
    if content.affine is None and array.ndim != 2:
        yield "is a colour picture, but a map of class numbers is needed"
        return
    if array.dtype.kind not in "biuf":
        return  # told by image_faults
    values = np.unique(array[np.isfinite(array)])
    whole = (values == np.rint(values)) & (values >= 0)
    if not whole.all():
        yield f"has the value {values[~whole][0]:g}, but class numbers must be whole and 0 or more"
    elif known is not None and (strange := sorted({int(value) for value in values} - set(known) - {0})):
        shown = ", ".join(map(str, strange[:5])) + (", …" if len(strange) > 5 else "")
        yield f"has the labels {shown}, but {names}"


def differences(content: Content, image: Content, name: str) -> Iterator[str]:
    """How the grid of a label map or a further channel differs from that of its image.

    Args:
        content: the label map or channel.
        image: the image.
        name: name of the image.
    """
    if (content.affine is None) != (image.affine is None):
        yield f"is not of the same kind as {name}: one is a picture, the other a volume"
        return
    axes = 2 if image.affine is None else None
    if content.array.shape[:axes] != image.array.shape[:axes]:
        yield f"has shape {content.array.shape}, but {name} has {image.array.shape}"
    if image.affine is None:
        return
    spacing, wanted = (np.linalg.norm(found.affine[:3, :3], axis=0) for found in (content, image))
    if not np.allclose(spacing, wanted, atol=TOLERANCE_MM):
        yield f"has a spacing of {shown(spacing)} mm, but {name} has {shown(wanted)} mm"
    if not (distance := np.abs(content.affine - image.affine).max()) <= TOLERANCE_MM:
        yield f"has a different affine from {name}: they differ by up to {distance:g} mm"
