"""The dataset_dir: links to the user's files where the bundles can read them as they are, converted files elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from ..data.dataset import item_paths
from ..data.faults import NIFTI
from ..data.labels import remap
from ..data.nifti import save
from ..data.output import numbered
from ..data.reading import naming, read_picture
from ..data.sources.cells import stretched_rgb
from ..data.work import work
from .files import is_nifti, oriented, read_file, suffix_of
from .sources import Source


@dataclass(frozen=True)
class Form:
    """What the bundle needs of the files.

    Args:
        table: value in the label maps → number of the class.
        instances: whether the label maps hold numbers of objects.
        slice_axes: where the axes of training slices are to point to, the last one across them; empty where the
            training takes whole cases.
        unit: whether the training slices are scaled to 0 … 1, each volume from its minimum to its maximum.
    """

    table: Mapping[int, int]
    instances: bool = False
    slice_axes: str = ""
    unit: bool = False


@dataclass(frozen=True)
class Job:
    """A case to enter.

    Args:
        case: its files and its list.
        form: what the bundle needs.
        folder: the dataset_dir.
    """

    case: Source
    form: Form
    folder: Path


def fill(folder: Path, cases: Sequence[Source], form: Form, processes: int) -> list[dict[str, Any]]:
    """Enter the cases into a dataset_dir.

    Args:
        folder: the dataset_dir.
        cases: with their lists.
        form: what the bundle needs.
        processes: how many are worked on at once.

    Returns:
        For each case its ``items`` (list and item), and ``empty`` (labels without any class).

    Raises:
        UserError: if a file cannot be read.
    """
    jobs = [Job(case, form, folder) for case in cases]
    records = {job.case.name: record for job, record in work(enter, jobs, processes, "writing", "cases")}
    return [records[case.name] for case in cases]


def enter(job: Job) -> dict[str, Any]:
    """Enter one case, see :func:`fill`."""
    case, form = job.case, job.form
    label = read_file(case.label, label=True)
    with naming(case.label):
        if label.affine is None:
            item = _picture(job, label.array)
        elif form.slice_axes and case.part == "training":
            return _slices(job)
        else:
            item = _volume(job, label.array, label.affine)
    empty = [] if label.array.any() else [item["label"]]
    return {"items": [(case.part, item)], "empty": empty}


def _volume(job: Job, label: np.ndarray, affine: np.ndarray) -> dict[str, Any]:
    case = job.case
    item = _item(job, case.name, ".nii.gz", [suffix_of(path) for path in case.images])
    for path, name in zip(case.images, _list(item["image"]), strict=True):
        if is_nifti(path):
            link(path, job.folder / name)
        else:
            content = read_file(path)
            save(job.folder / name, _storable(content.array), content.affine)
    mapped = _classes(label, job.form.table)
    if is_nifti(case.label) and np.array_equal(mapped, label):
        item["label"] = item["label"].removesuffix(".nii.gz") + suffix_of(case.label)
        link(case.label, job.folder / item["label"])
    else:
        save(job.folder / item["label"], mapped, affine)
    return item


def _slices(job: Job) -> dict[str, Any]:
    """Each slice of a volume as an image of its own, as ``data prepare`` makes them for MSVM-UNet."""
    case, form = job.case, job.form
    images = [oriented(read_file(path), form.slice_axes) for path in case.images]
    content = read_file(case.label, label=True)
    labels = np.asanyarray(oriented(content, form.slice_axes).dataobj)
    arrays = [_scaled(image) if form.unit else np.asanyarray(image.dataobj) for image in images]
    record: dict[str, Any] = {"items": [], "empty": []}
    for z in range(labels.shape[2]):
        affine = images[0].affine.copy()
        affine[:3, 3] += z * affine[:3, 2]
        item = _item(job, f"{case.name}_slice{z:03d}", ".nii.gz", [".nii.gz"] * len(images))
        classes = _classes(labels[:, :, z : z + 1], form.table)
        for array, name in zip(arrays, _list(item["image"]), strict=True):
            save(job.folder / name, _storable(array[:, :, z : z + 1]), affine)
        save(job.folder / item["label"], classes, affine)
        record["items"].append((case.part, item))
        record["empty"] += [] if classes.any() else [item["label"]]
    return record


def _picture(job: Job, label: np.ndarray) -> dict[str, Any]:
    case, (path,) = job.case, job.case.images
    item = _item(job, case.name, ".png", [suffix_of(path) if _is_rgb(path) else ".png"])
    if _is_rgb(path):
        link(path, job.folder / item["image"])
    else:
        with naming(path):
            _save_picture(job.folder / item["image"], _rgb(path))
    if job.form.instances:
        from components.transforms.instances import interior_boundary

        instances = numbered(label)
        item["instances"] = item_paths(case.part, case.name, ".png", ["instances"])["instances"]
        _save_picture(job.folder / item["instances"], instances)
        _save_picture(job.folder / item["label"], interior_boundary(instances).astype(np.uint8))
        return item
    mapped = _classes(label, job.form.table)
    if case.label.suffix.lower() == ".png" and np.array_equal(mapped, label) and _is_plain(case.label):
        link(case.label, job.folder / item["label"])
    else:
        _save_picture(job.folder / item["label"], mapped)
    return item


def _item(job: Job, name: str, suffix: str, suffixes: Sequence[str]) -> dict[str, Any]:
    """Item of a list; the channels of an image are in folders of their own, so that all are called like the case."""
    item: dict[str, Any] = dict(item_paths(job.case.part, name, suffix))
    found = [ending if suffix == ".png" or ending in NIFTI else suffix for ending in suffixes]
    if len(suffixes) == 1:
        item["image"] = f"images/{job.case.part}/{name}{found[0]}"
    else:
        item["image"] = [f"images/{job.case.part}/{place:04d}/{name}{ending}" for place, ending in enumerate(found)]
    return item


def link(source: Path, target: Path) -> None:
    """Let a name stand for a file without copying it where the system can do that.

    Args:
        source: the file.
        target: the new name; its folder is made where it is missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for make in (os.symlink, os.link):
        try:
            make(source.resolve(), target)
        except (OSError, NotImplementedError):
            continue
        return
    shutil.copyfile(source, target)


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _classes(label: np.ndarray, table: Mapping[int, int]) -> np.ndarray:
    return remap(label, {value: number for value, number in table.items() if value})


def _storable(array: np.ndarray) -> np.ndarray:
    """The array in a type that NIfTI readers know."""
    if array.dtype in (np.int64, np.uint64, np.float16):
        return array.astype(np.float32 if array.dtype == np.float16 else np.int32)
    return array.astype(np.uint8) if array.dtype == bool else array


def _scaled(image: nib.Nifti1Image) -> np.ndarray:
    array = np.asarray(image.dataobj, dtype=np.float32)
    low, high = float(array.min()), float(array.max())
    return (array - low) / (high - low) if high > low else np.zeros_like(array)


def _is_rgb(path: Path) -> bool:
    with naming(path), Image.open(path) as image:
        return image.mode == "RGB" and read_picture(path).dtype == np.uint8


def _is_plain(path: Path) -> bool:
    with Image.open(path) as image:
        return image.mode == "L"


def _rgb(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        eight_bits = image.mode in ("1", "L", "LA", "P", "RGBA", "CMYK") and read_picture(path).dtype == np.uint8
        return np.array(image.convert("RGB")) if eight_bits else stretched_rgb(read_picture(path))


def _save_picture(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
