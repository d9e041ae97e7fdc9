"""The dataset_dir: links to the user's files where the bundles can read them as they are, converted files elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from components.images.endings import NIFTI, ending_of
from components.images.intensities import rgb8, unit_range
from components.images.nifti import write_nifti
from components.images.orientation import reoriented
from components.images.reading import Content

from ..data.dataset import files_of, item_paths
from ..data.labels import remap
from ..data.output import numbered
from ..data.reading import naming, read_content
from ..data.work import work
from .own_data import Source

SMALLEST_INTERIOR = 4
"""Smallest interior of an object, in pixels, that the labels keep; the published 16 would lose small nuclei."""


@dataclass(frozen=True)
class Form:
    """What the bundle needs of the files.

    Args:
        table: value in the label maps → number of the class.
        instances: whether the label maps hold numbers of objects.
        slice_axes: where the axes of training slices are to point to, the last one across them; empty where the
            training takes whole cases.
        unit: whether the training slices are scaled to 0 … 1, each volume from its minimum to its maximum.
        ignore: number of the voxels that are not known; None where there is none.
    """

    table: Mapping[int, int]
    instances: bool = False
    slice_axes: str = ""
    unit: bool = False
    ignore: int | None = None


@dataclass(frozen=True)
class FillJob:
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
    jobs = [FillJob(case, form, folder) for case in cases]
    records = {job.case.name: record for job, record in work(enter, jobs, processes, "writing", "cases")}
    return [records[case.name] for case in cases]


def enter(job: FillJob) -> dict[str, Any]:
    """Enter one case, see :func:`fill`."""
    case, form = job.case, job.form
    label = read_content(case.label, numbers=True)
    with naming(case.label):
        if label.affine is None:
            item = _picture(job, label)
        elif form.slice_axes and case.part == "training":
            return _slices(job, label)
        else:
            item = _volume(job, label.array, label.affine)
        if case.fold is not None:
            item["fold"] = case.fold
    empty = [] if label.array.any() else [item["label"]]
    return {"items": [(case.part, item)], "empty": empty}


def _volume(job: FillJob, label: np.ndarray, affine: np.ndarray) -> dict[str, Any]:
    case = job.case
    item = _item(job, case.name, ".nii.gz", [ending_of(path) for path in case.images])
    for path, name in zip(case.images, files_of(item["image"]), strict=True):
        if ending_of(path) in NIFTI:
            link(path, job.folder / name)
        else:
            content = read_content(path)
            write_nifti(job.folder / name, _storable(content.array), content.affine)
    mapped = _classes(label, job.form.table)
    if ending_of(case.label) in NIFTI and np.array_equal(mapped, label):
        item["label"] = item["label"].removesuffix(".nii.gz") + ending_of(case.label)
        link(case.label, job.folder / item["label"])
    else:
        write_nifti(job.folder / item["label"], mapped, affine)
    return item


def _slices(job: FillJob, label: Content) -> dict[str, Any]:
    """Each slice of a volume as an image of its own, as ``data prepare`` makes them for MSVM-UNet.

    Slices of which nothing is known are left out.
    """
    case, form = job.case, job.form
    images = [oriented(read_content(path), form.slice_axes) for path in case.images]
    labels = np.asanyarray(oriented(label, form.slice_axes).dataobj)
    arrays = [_scaled(np.asanyarray(image.dataobj), form.unit) for image in images]
    record: dict[str, Any] = {"items": [], "empty": []}
    for z in range(labels.shape[2]):
        classes = _classes(labels[:, :, z : z + 1], form.table)
        if form.ignore is not None and (classes == form.ignore).all():
            continue
        affine = images[0].affine.copy()
        affine[:3, 3] += z * affine[:3, 2]
        item = _item(job, f"{case.name}_slice{z:03d}", ".nii.gz", [".nii.gz"] * len(images))
        for array, name in zip(arrays, files_of(item["image"]), strict=True):
            write_nifti(job.folder / name, _storable(array[:, :, z : z + 1]), affine)
        write_nifti(job.folder / item["label"], classes, affine)
        record["items"].append((case.part, item))
        record["empty"] += [] if classes.any() else [item["label"]]
    if case.fold is not None:  # its fold is validated on the whole volume
        whole = replace(case, part="validation")
        items = [*record["items"], (whole.part, _volume(replace(job, case=whole), label.array, label.affine))]
        record["items"] = [(part, {**item, "fold": case.fold}) for part, item in items]
    return record


def _picture(job: FillJob, content: Content) -> dict[str, Any]:
    case, (path,) = job.case, job.case.images
    image, label = read_content(path), content.array
    as_it_is = image.picture.plain and image.array.ndim == 3
    item = _item(job, case.name, ".png", [ending_of(path) if as_it_is else ".png"])
    if as_it_is:
        link(path, job.folder / item["image"])
    else:
        with naming(path):
            _save_picture(job.folder / item["image"], rgb8(image.array))
    if job.form.instances:
        from components.transforms.instances import interior_boundary

        instances = numbered(label)
        item["instances"] = item_paths(case.part, case.name, ".png", ["instances"])["instances"]
        _save_picture(job.folder / item["instances"], instances)
        _save_picture(job.folder / item["label"], interior_boundary(instances, SMALLEST_INTERIOR).astype(np.uint8))
        return item
    mapped = _classes(label, job.form.table)
    if ending_of(case.label) == ".png" and np.array_equal(mapped, label) and content.picture.plain:
        link(case.label, job.folder / item["label"])
    else:
        _save_picture(job.folder / item["label"], mapped)
    return item


def _item(job: FillJob, name: str, suffix: str, suffixes: Sequence[str]) -> dict[str, Any]:
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


def share(source: Path, target: Path) -> None:
    """Let a dataset_dir have the files of another one, without a second copy where the system can do that.

    Args:
        source: the dataset_dir.
        target: the new one, which is not there.
    """
    shutil.copytree(source, target, symlinks=True, copy_function=_same)


def _same(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except (OSError, NotImplementedError):
        shutil.copyfile(source, target)
    return target


def _classes(label: np.ndarray, table: Mapping[int, int]) -> np.ndarray:
    return remap(label, {value: number for value, number in table.items() if value})


def _storable(array: np.ndarray) -> np.ndarray:
    """The array in a type that NIfTI readers know."""
    if array.dtype in (np.int64, np.uint64, np.float16):
        return array.astype(np.float32 if array.dtype == np.float16 else np.int32)
    return array.astype(np.uint8) if array.dtype == bool else array


def _scaled(array: np.ndarray, unit: bool) -> np.ndarray:
    if not unit:
        return array
    return unit_range(array) if array.min() != array.max() else np.zeros(array.shape, np.float32)


def oriented(content: Content, axes: str) -> nib.Nifti1Image:
    """A volume with its axes turned and flipped.

    Args:
        content: the volume.
        axes: where the axes are to point to, for example "SPL".
    """
    return reoriented(nib.Nifti1Image(content.array, content.affine), axes)


def _save_picture(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
