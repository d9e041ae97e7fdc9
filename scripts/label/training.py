"""What a bundle is trained on in the server: the studies of a user, with the bundle's numbers of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from components.files import replacing
from components.images.endings import ending_of
from components.images.intensities import unit_range
from components.images.nifti import write_nifti
from components.images.orientation import reoriented

from ..bundle.config import kind_of
from ..bundle.inference import InferenceBundle
from ..data.labels import remap
from ..data.output import Output
from ..data.reading import naming, read_content, same_shape
from .kinds import check_kind

TOLERANCE_MM = 0.01
"""Clients write the affine of a label with fewer digits than the image has."""


@dataclass(frozen=True)
class Study:
    """An image with its final label.

    Args:
        name: identifier in the server.
        image: file of the image.
        label: file of the label map.
        classes: number in the label map → name of the class, as the client told; None if it told nothing.
    """

    name: str
    image: Path
    label: Path
    classes: Mapping[int, str] | None = None


def item(study: Study, bundle: InferenceBundle, folder: Path) -> dict[str, str]:
    """Image and label of a study as the bundle reads them.

    A client numbers the segments of a study in their order, which need not be that of the bundle: the classes are found
    by their names. Labels of another form or numbering are written anew, the others stay where they are.

    Args:
        study: the study.
        bundle: the bundle to train.
        folder: where a new label is written.

    Returns:
        Paths of ``image`` and ``label``.

    Raises:
        UserError: if a file is damaged, image and label are not on one grid, or the label has a class that the bundle
            does not have.
    """
    check_kind(bundle, study.image)
    image, content = read_content(study.image), read_content(study.label, numbers=True)
    label = content.array
    if bundle.takes_pictures and content.affine is not None and label.ndim == 3 and label.shape[2] == 1:
        label = label[:, :, 0].T  # of a program for volumes, which counts the columns first
    with naming(study.label, study.image):
        same_shape(image.array, label, axes=2 if bundle.takes_pictures else None)
        if not bundle.takes_pictures and not np.allclose(image.affine, content.affine, atol=TOLERANCE_MM):
            raise ValueError("they do not lie at the same place in the patient")
    with naming(study.label):
        if bundle.takes_pictures and label.ndim != 2:
            raise ValueError(f"it has shape {label.shape}, but a map of class numbers is needed")
        classes = remap(label, _table(study, bundle, label))
    suffix = ".png" if bundle.takes_pictures else ".nii.gz"
    if ending_of(study.label) == suffix and np.array_equal(classes, label):
        return {"image": str(study.image), "label": str(study.label)}
    path = folder / f"{study.name}{suffix}"
    with replacing(path) as partial:
        if bundle.takes_pictures:
            Image.fromarray(classes).save(partial)
        else:
            write_nifti(partial, classes, image.affine)
    return {"image": str(study.image), "label": str(path)}


def slices(items: Sequence[Mapping[str, str]], bundle: InferenceBundle, folder: Path) -> list[dict[str, str]]:
    """Cut volumes into single slices, as ``data prepare`` makes them for the training of a slice-wise bundle.

    The slices lie across the last axis of the orientation that the bundle gives its images. Where it scales a volume
    from its minimum to its maximum, this is done here, because a slice does not know the range of its volume.

    Args:
        items: image and label of each volume.
        bundle: the bundle to train.
        folder: where the slices are written.

    Returns:
        Paths of ``image`` and ``label`` of each slice.

    Raises:
        UserError: if a volume has NaN, or the same value everywhere where it has to be scaled.
    """
    scaled = _step(bundle, "ScaleIntensityd") is not None
    place = _step(bundle, "Orientationd")
    axcodes = None if place is None else bundle.get(f"{place}#axcodes")
    output = Output(folder)
    for number, volume in enumerate(items):
        image, label = read_content(Path(volume["image"])), read_content(Path(volume["label"]), numbers=True)
        # Both by the place of the image: a client writes that of a label with fewer digits.
        turned, labels = (reoriented(nib.Nifti1Image(found.array, image.affine), axcodes) for found in (image, label))
        voxels = np.asarray(turned.dataobj)
        with naming(Path(volume["image"])):
            voxels = unit_range(voxels) if scaled else voxels
        output.slices("training", f"volume{number:03d}", voxels, np.asarray(labels.dataobj), turned.affine)
    return [{key: str(folder / path) for key, path in item.items()} for _, item in output.items]


def _step(bundle: InferenceBundle, name: str) -> str | None:
    """The id of the step of this kind in the config."""
    steps = bundle.parser.config["preprocessing"]["transforms"]
    found = (n for n, step in enumerate(steps) if kind_of(step) == name)
    place = next(found, None)
    return None if place is None else f"preprocessing#transforms#{place}"


def _table(study: Study, bundle: InferenceBundle, label: np.ndarray) -> dict[int, int]:
    has = f"{bundle.name} has {', '.join(f'{number} {name}' for number, name in bundle.known.items())}"
    used = {int(number) for number in np.unique(label)} - {0}
    if study.classes is None:
        if strange := sorted(used - set(bundle.known)):
            raise ValueError(f"label {strange[0]} is not a class, {has}")
        return {number: number for number in bundle.known}
    numbers = {name.lower(): number for number, name in bundle.known.items()}
    names = {number: " ".join(study.classes.get(number, "without a name").lower().split()) for number in used}
    if strange := [name for name in names.values() if name not in numbers]:
        raise ValueError(f"the segment {strange[0]!r} is not a class, {has}: rename or delete it")
    return {number: numbers[name] for number, name in names.items()}
