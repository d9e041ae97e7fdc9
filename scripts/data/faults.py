"""What can be wrong with an item of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from components.images.nifti import read_nifti

from ..errors import UserError
from .dataset import Item
from .reading import naming, read_picture

TOLERANCE_MM = 1e-3
NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Job:
    """An item to look at.

    Args:
        folder: the data set.
        part: the list that it is in.
        item: relative paths of its files.
        bundle: name of the bundle, for the messages.
        classes: number of classes, background included.
        may_be_empty: whether the label is known to hold no class.
    """

    folder: Path
    part: str
    item: Item
    bundle: str
    classes: int
    may_be_empty: bool


@dataclass
class Findings:
    """What was found in an item.

    Args:
        faults: one line each, with the name of the file.
        hashes: for each slice of the image, or for the picture, the hash of its content and where it is.
    """

    faults: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """Content of a file.

    Args:
        array: the voxels or pixels.
        affine: 4 × 4 matrix in mm, None for pictures.
        spacing: size of the voxels in mm, None for pictures.
    """

    array: np.ndarray
    affine: np.ndarray | None = None
    spacing: tuple[float, ...] | None = None


def inspect(job: Job) -> Findings:
    """Look at the files of an item; every fault is found, not only the first."""
    found = Findings()
    contents: dict[str, Content] = {}
    for key in ("image", "label"):
        if key not in job.item:
            found.faults.append(f"datalist.json: an item of {job.part} has no {key}")
    for key, name in job.item.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            found.faults.append(f"{name}: is no relative path inside the data set, with / between the names")
            continue
        try:
            contents[key] = read(job.folder / name)
        except UserError as error:
            reason = str(error).removeprefix(f"{job.folder / name}").lstrip(": ")
            found.faults.append(f"{name}: {reason}" if reason == "is missing" else f"{name}: cannot be read: {reason}")
    for key, content in contents.items():
        name, faults = job.item[key], _faults_of(key, content, job)
        if key != "image" and "image" in contents:
            faults = [*faults, *_differences(content, contents["image"], job.item["image"])]
        found.faults += [f"{name}: {fault}" for fault in faults]
    if "image" in contents:
        found.hashes = dict(_hashes(job.item["image"], contents["image"]))
    return found


def read(path: Path) -> Content:
    """Read a file to its very end, so that a damaged checksum is noticed too.

    Raises:
        UserError: if it is missing or damaged.
    """
    with naming(path):
        if not path.is_file():
            raise FileNotFoundError(2, "no such file", str(path))
        if not path.name.endswith(NIFTI):
            return Content(read_picture(path))
        image = read_nifti(path)
        return Content(np.asanyarray(image.dataobj), image.affine, tuple(map(float, image.header.get_zooms())))


def _faults_of(key: str, content: Content, job: Job) -> Iterator[str]:
    array = content.array
    if not array.size:
        yield f"has shape {array.shape} and no voxel"
        return
    if not np.isfinite(array).all():
        count = int(np.size(array) - np.isfinite(array).sum())
        yield f"has {count} voxels that are NaN or infinite"
    slices = array.shape[2] if content.affine is not None and array.ndim > 2 else 0
    if key == "image" and slices != 1 and array.min() == array.max():  # a single slice may lie beside the body
        yield f"is {array.flat[0]:g} in all its voxels"
    if content.affine is not None:
        if array.ndim != 3:
            yield f"has {array.ndim} axes, but 3 are needed"
        sizes = np.linalg.norm(content.affine[:3, :3], axis=0)
        if not np.isfinite(content.affine).all() or not (sizes > 0).all():
            yield "has an affine that maps voxels to no place"
        elif not np.allclose(sizes, content.spacing[:3], atol=TOLERANCE_MM):
            yield f"has a spacing of {_shown(content.spacing)} mm in its header, but {_shown(sizes)} mm in its affine"
    elif key == "image" and (array.dtype != np.uint8 or array.shape[2:] != (3,)):
        yield f"is a picture of shape {array.shape} and type {array.dtype}, but H × W × 3 and uint8 are needed"
    if key == "label":
        yield from _label_faults(array, job)
    if key == "instances" and not array.any() and not job.may_be_empty:
        yield "has no instance"


def _label_faults(labels: np.ndarray, job: Job) -> Iterator[str]:
    values = np.unique(labels[np.isfinite(labels)])
    strange = [value for value in values.tolist() if value not in range(job.classes)]
    if strange:
        shown = ", ".join(f"{value:g}" for value in strange[:5]) + (", …" if len(strange) > 5 else "")
        yield f"has the labels {shown}, but {job.bundle} has 0 to {job.classes - 1}"
    if not values.any() and not job.may_be_empty:
        yield "is empty: background only"


def _differences(content: Content, image: Content, name: str) -> Iterator[str]:
    axes = None if content.affine is not None else 2
    if content.array.shape[:axes] != image.array.shape[:axes]:
        yield f"has shape {content.array.shape}, but {name} has {image.array.shape}"
    if (content.affine is None) != (image.affine is None):
        yield f"is of another kind than {name}"
    elif content.affine is not None:
        if not np.allclose(content.spacing, image.spacing, atol=TOLERANCE_MM):
            yield f"has a spacing of {_shown(content.spacing)} mm, but {name} has {_shown(image.spacing)} mm"
        distance = np.abs(content.affine - image.affine).max()
        if not distance <= TOLERANCE_MM:
            yield f"has another affine than {name}: they differ by up to {distance:g} mm"


def _hashes(name: str, content: Content) -> Iterator[tuple[str, str]]:
    array = np.ascontiguousarray(np.moveaxis(content.array, -1, 0)) if content.affine is not None else content.array
    volume = content.affine is not None and array.ndim == 3 and len(array) > 1
    for place, plane in enumerate(array if content.affine is not None else [array]):
        if plane.size and plane.min() != plane.max():
            digest = hashlib.sha256(f"{plane.shape}{plane.dtype.str}".encode() + plane.tobytes()).hexdigest()
            yield digest, f"{name} (slice {place})" if volume else name


def _shown(sizes: np.ndarray | tuple[float, ...]) -> str:
    return " × ".join(f"{size:g}" for size in sizes)
