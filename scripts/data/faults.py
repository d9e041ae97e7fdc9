"""What can be wrong with an item of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from components.images.checks import constant, differences, image_faults, label_faults
from components.images.reading import Content, read

from ..errors import UserError
from .dataset import Item
from .reading import naming
from .scales import Scale


@dataclass(frozen=True)
class CheckJob:
    """An item to look at.

    Args:
        folder: the data set.
        part: the list that it is in.
        item: relative paths of its files.
        bundle: name of the bundle, for the messages.
        classes: number of classes, background included.
        may_be_empty: whether the label is known to hold no class.
        ignore: label of unlabelled voxels, or None.
    """

    folder: Path
    part: str
    item: Item
    bundle: str
    classes: int
    may_be_empty: bool
    ignore: int | None = None


@dataclass
class Findings:
    """What was found in an item.

    Args:
        faults: one line each, with the name of the file.
        hashes: for each slice of the image, or for the picture, the hash of its content and where it is.
        scale: intensities of a volume; None for pictures, and where there are none.
    """

    faults: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    scale: Scale | None = None


def inspect(job: CheckJob) -> Findings:
    """Look at the files of an item; every fault is found, not only the first."""
    found = Findings()
    contents: dict[str, Content] = {}
    for key in ("image", "label"):
        if key not in job.item:
            found.faults.append(f"datalist.json: an item of {job.part} has no {key}")
    for key, name in job.item.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            found.faults.append(f"{name}: is not a relative path inside the data set, with / between the names")
            continue
        try:
            with naming(job.folder / name):
                contents[key] = read(job.folder / name, numbers=key in ("label", "instances"))
        except UserError as error:
            reason = str(error).removeprefix(f"{job.folder / name}").lstrip(": ")
            found.faults.append(f"{name}: {reason}" if reason == "is missing" else f"{name}: cannot be read: {reason}")
    for key, content in contents.items():
        name, faults = job.item[key], _faults_of(key, content, job)
        if key != "image" and "image" in contents:
            faults = [*faults, *differences(content, contents["image"], job.item["image"])]
        found.faults += [f"{name}: {fault}" for fault in faults]
    if "image" in contents:
        found.hashes = dict(_hashes(job.item["image"], contents["image"]))
        found.scale = _scale(contents["image"])
    return found


def _faults_of(key: str, content: Content, job: CheckJob) -> Iterator[str]:
    array = content.array
    yield from image_faults(content)
    if not array.size or array.dtype.kind not in "biuf":
        return
    if key == "image" and (fault := constant([content])):
        yield fault
    if content.affine is None and key == "image" and (array.dtype != np.uint8 or array.shape[2:] != (3,)):
        yield f"is a picture of shape {array.shape} and type {array.dtype}, but height × width × 3 and uint8 are needed"
    if key == "label":
        yield from label_faults(content, range(job.classes), f"{job.bundle} has 0 to {job.classes - 1}")
        if not array.any() and not job.may_be_empty:
            yield "is empty: background only"
        if job.ignore is not None and (array == job.ignore).all():
            yield f"has the label {job.ignore} in all voxels, which are ignored: there is nothing to learn or score"
    if key == "instances" and not array.any() and not job.may_be_empty:
        yield "has no instance"


def _scale(content: Content) -> Scale | None:
    array = content.array
    if content.affine is None or not array.size or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return None
    return Scale(str(array.dtype), float(array.min()), float(array.max()))


def _hashes(name: str, content: Content) -> Iterator[tuple[str, str]]:
    array = np.ascontiguousarray(np.moveaxis(content.array, -1, 0)) if content.affine is not None else content.array
    volume = content.affine is not None and array.ndim == 3 and len(array) > 1
    for place, plane in enumerate(array if content.affine is not None else [array]):
        if plane.size and plane.min() != plane.max():
            digest = hashlib.sha256(f"{plane.shape}{plane.dtype.str}".encode() + plane.tobytes()).hexdigest()
            yield digest, f"{name} (slice {place})" if volume else name
