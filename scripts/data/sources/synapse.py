"""BTCV, the abdominal CT of "Synapse" (syn3193805), for msvm_synapse.

Source of the split and the classes: Chen et al., "TransUNet", arXiv 2102.04306, whose data lists MSVM-UNet uses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from components.images.orientation import reoriented, unknown_grid

from ..dataset import Dataset
from ..labels import CLASSES, remap
from ..layouts import ConversionPlan, Files, Layout, RawCase, check_gaps, missing_cases, pairs
from ..output import Output
from ..reading import naming, read_arrays, read_pair, same_shape, stacked
from .orientation import RADIOLOGICAL, axes_of_organs

BUNDLE = "msvm_synapse"
TEST = (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38)
VALIDATION = (9, 27, 37)
TRAINING = (5, 6, 7, 10, 21, 23, 24, 26, 28, 30, 31, 33, 34, 39, 40)
PUBLISHED = sorted((*TEST, *VALIDATION, *TRAINING))

BTCV_TO_SYNAPSE = {1: 7, 2: 4, 3: 3, 4: 2, 6: 5, 7: 8, 8: 1, 11: 6}
BTCV_IGNORED = (5, 9, 10, 12, 13)
"""Oesophagus, inferior vena cava, portal and splenic vein, right and left adrenal gland."""

LOW, HIGH = -125, 275
"""Hounsfield units that the prepared slices hold as 0 and 1."""


def find_raw(files: Files) -> ConversionPlan | None:
    """Plan for the volumes as NIfTI, as Synapse gives them."""
    images = files.match(r"(?:img|imagesTr|images)/(?:img|btcv_?)(?P<case>\d+)(?:_0000)?\.nii(?:\.gz)?")
    labels = files.match(r"(?:label|labelsTr|labels)/(?:label|img|btcv_?)(?P<case>\d+)\.nii(?:\.gz)?")
    found, notes = pairs(images, labels)
    numbers = {int(key[0]): pair for key, pair in found.items()}
    cases = [RawCase(f"case{n:04d}", part(n), numbers[n]) for n in PUBLISHED if n in numbers]
    if not cases:
        return None
    notes += missing_cases(numbers, PUBLISHED)
    return ConversionPlan(cases, convert_raw, _dataset("raw NIfTI", {"spacing": "from the files"}), notes)


def find_prepared(files: Files) -> ConversionPlan | None:
    """Plan for TransUNet's slices (``.npz``) and volumes (``.npy.h5``)."""
    slices = files.match(r"case_?(?P<case>\d+)_slice_?(?P<slice>\d+)\.npz")
    volumes = files.match(r"case_?(?P<case>\d+)\.(?:npy\.h5|h5|npz)")
    if not slices and not volumes:
        return None
    stacks: dict[int, dict[int, Path]] = {}
    for (case, number), path in slices.items():
        stacks.setdefault(int(case), {})[int(number)] = path
    for case, stack in stacks.items():
        check_gaps(f"{files.root}: case {case}", stack)
    found: dict[int, Any] = {case: list(stack.values()) for case, stack in stacks.items()}
    found |= {int(case): [path] for (case,), path in volumes.items()}
    cases = [RawCase(f"case{n:04d}", part(n), {"arrays": found[n]}) for n in PUBLISHED if n in found]
    if not cases:
        return None
    turned = axes_of_organs(*(_labels(case) for case in cases[:3]))
    notes = missing_cases(found, PUBLISHED)
    notes.append("the spacing is not in these files: 1 mm is assumed, so distances in mm are distances in voxels")
    notes.append(
        f"rows to {turned[0]} and columns to {turned[1]}, as the organs show"
        if turned
        else "the organs do not show where rows and columns point to: taken as rows to posterior, columns to left"
    )
    details = {
        "spacing": "unknown",
        "assumed_spacing_mm": [1, 1, 1],
        "source_axes": "".join((*(turned or RADIOLOGICAL), "S")),
    }
    dataset = _dataset("TransUNet's prepared slices", details)
    dataset.details["intensities"] = (
        f"Hounsfield units from {LOW} to {HIGH}, computed back from [0, 1]; what was beyond is lost"
    )
    return ConversionPlan(cases, ConvertPrepared("".join(turned or RADIOLOGICAL)), dataset, notes)


LAYOUTS = (
    Layout(
        "BTCV raw NIfTI",
        "img/img0001.nii.gz with label/label0001.nii.gz (the folders may also be imagesTr and labelsTr)",
        find_raw,
    ),
    Layout(
        "TransUNet's prepared slices",
        "train_npz/case0005_slice000.npz with test_vol_h5/case0001.npy.h5",
        find_prepared,
    ),
)


def part(number: int) -> str:
    """Which part a case belongs to by its published number."""
    return "test" if number in TEST else "validation" if number in VALIDATION else "training"


def convert_raw(case: RawCase, folder: Path) -> dict[str, Any]:
    """Volume in Hounsfield units with the eight organs; training cases slice by slice."""
    voxels, labels, affine = read_pair(case)
    with naming(case.files["label"]):
        labels = remap(labels, BTCV_TO_SYNAPSE, BTCV_IGNORED)
    with naming(case.files["image"]):
        voxels = hounsfield(voxels)
    return _write(case, folder, voxels, labels, affine)


class ConvertPrepared:
    """Make the volumes of prepared slices.

    Args:
        axes: where rows and columns point to, for example "PL".
    """

    def __init__(self, axes: str) -> None:
        self.axes = axes

    def __call__(self, case: RawCase, folder: Path) -> dict[str, Any]:
        """Volume in Hounsfield units; training cases slice by slice."""
        images, labels = [], []
        for path in case.files["arrays"]:
            image, label = read_arrays(path, ("image", "img"), ("label",))
            with naming(path):
                same_shape(image, label)
                if image.min() < -1e-3 or image.max() > 1 + 1e-3:
                    raise ValueError(f"values from {image.min():g} to {image.max():g}, but [0, 1] is needed")
                images.append(np.rint(image * (HIGH - LOW) + LOW).astype(np.int16))
                labels.append(remap(label, {n: n for n in range(1, len(CLASSES[BUNDLE]))}))
        with naming(*case.files["arrays"][:1]):
            voxels = reoriented(unknown_grid(stacked(images), self.axes + "S"), case.axcodes)
            labels = reoriented(unknown_grid(stacked(labels), self.axes + "S"), case.axcodes)
        return _write(case, folder, np.asarray(voxels.dataobj), np.asarray(labels.dataobj), voxels.affine)


def hounsfield(voxels: np.ndarray) -> np.ndarray:
    """Round to int16.

    Raises:
        ValueError: if there are values that are not Hounsfield units of a CT.
    """
    if not np.isfinite(voxels).all():
        raise ValueError("some voxels are NaN or infinite")
    limits = np.iinfo(np.int16)
    if voxels.min() < limits.min or voxels.max() > limits.max:
        raise ValueError(f"values from {voxels.min():g} to {voxels.max():g} are not Hounsfield units")
    return np.rint(voxels).astype(np.int16)


def _write(case: RawCase, folder: Path, voxels: np.ndarray, labels: np.ndarray, affine: np.ndarray) -> dict[str, Any]:
    output = Output(folder)
    (output.slices if case.part == "training" else output.volume)(case.part, case.name, voxels, labels, affine)
    return output.record()


def _labels(case: RawCase) -> np.ndarray:
    arrays = []
    for path in case.files["arrays"]:
        arrays += read_arrays(path, ("label",))
    with naming(*case.files["arrays"][:1]):
        return stacked(arrays)


def _dataset(form: str, details: dict[str, Any]) -> Dataset:
    return Dataset(
        name=f"BTCV (Synapse multi-organ CT), from {form}",
        bundle=BUNDLE,
        description="Abdominal CT with labels of eight organs, drawn by readers.",
        modality="CT",
        source="Multi-Atlas Labeling Beyond the Cranial Vault, abdomen: synapse.org, syn3193805",
        licence="terms of syn3193805: sign-up needed, no redistribution of the data or of what is made of them",
        labels=CLASSES[BUNDLE],
        split="By case number. Test (published): " + _listed(TEST) + ". The published training cases are divided into "
        "validation (chosen for this project, so that no model is selected on the test cases): "
        + _listed(VALIDATION)
        + ", and training: "
        + _listed(TRAINING)
        + ". Training items are single slices, the others are volumes.",
        details={"intensities": "Hounsfield units", **details},
    )


def _listed(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))
