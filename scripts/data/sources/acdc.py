"""ACDC's cardiac cine MR, for msvm_acdc.

Source: Bernard et al., "Deep Learning Techniques for Automatic MRI Cardiac Multi-Structures Segmentation and
Diagnosis", IEEE TMI 37 (2018); the split is the one of MSVM-UNet, arXiv 2408.13735.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from components.images.intensities import unit_range
from components.images.orientation import DISPLAY, orientation, reoriented, unknown_grid

from ..dataset import Dataset
from ..labels import CLASSES, remap
from ..layouts import ConversionPlan, Converter, Files, Layout, RawCase, check_gaps, missing_cases, pairs
from ..output import Output
from ..reading import naming, read_arrays, read_pair, same_shape, stacked

BUNDLE = "msvm_acdc"
VALIDATION = (19, 21, 29, 33, 41, 50, 61, 71, 76, 80)
TEST = (2, 3, 8, 9, 12, 14, 17, 24, 42, 48, 49, 53, 55, 64, 67, 79, 81, 88, 92, 95)
PATIENTS = range(1, 101)
TABLE = {number: number for number in range(1, len(CLASSES[BUNDLE]))}
"""ACDC's numbers are the bundle's: 1 right ventricle, 2 myocardium, 3 left ventricle."""


def find_raw(files: Files) -> ConversionPlan | None:
    """Plan for the frames as NIfTI, as CREATIS gives them; the 4D files are left alone."""
    frame = r"patient(?P<patient>\d+)_frame(?P<frame>\d+)"
    found, notes = pairs(
        files.match(rf"{frame}\.nii(?:\.gz)?"),
        files.match(rf"{frame}_gt\.nii(?:\.gz)?"),
    )
    names = {key: f"patient{int(key[0]):03d}_frame{int(key[1]):02d}" for key in found}
    return _plan("raw NIfTI", found, names, convert_raw, notes, {"spacing": "from the files"})


def find_prepared(files: Files) -> ConversionPlan | None:
    """Plan for the slices and volumes that are in circulation as ``.npz``."""
    slices = files.match(r"case_?(?P<patient>\d+)_slice_?(?P<phase>ED|ES)_?(?P<slice>\d+)\.npz")
    volumes = files.match(r"case_?(?P<patient>\d+)_volume_?(?P<phase>ED|ES)\.(?:npz|npy\.h5|h5)")
    stacks: dict[tuple[str, ...], dict[int, Path]] = {}
    for (patient, phase, number), path in slices.items():
        stacks.setdefault((patient, phase.upper()), {})[int(number)] = path
    for (patient, phase), stack in stacks.items():
        check_gaps(f"{files.root}: patient {patient} {phase}", stack)
    found: dict[tuple[str, ...], Any] = {key: {"arrays": list(stack.values())} for key, stack in stacks.items()}
    found |= {key: {"arrays": [path]} for key, path in volumes.items()}
    names = {key: f"patient{int(key[0]):03d}_{key[1].upper()}" for key in found}
    details = {"spacing": "unknown", "assumed_spacing_mm": [1, 1, 1], "source_axes": "unknown, taken as PLS"}
    notes = ["the spacing is not in these files: 1 mm is assumed, so distances in mm are distances in voxels"]
    return _plan("prepared slices", found, names, convert_prepared, notes, details)


LAYOUTS = (
    Layout(
        "ACDC raw NIfTI", "patient001/patient001_frame01.nii.gz with patient001/patient001_frame01_gt.nii.gz", find_raw
    ),
    Layout(
        "ACDC prepared slices", "case_001_sliceED_0.npz and case_002_volume_ED.npz, each with img and label",
        find_prepared,
    ),
)  # fmt: skip


def part(patient: int) -> str:
    """Which part a patient belongs to by the published number."""
    return "test" if patient in TEST else "validation" if patient in VALIDATION else "training"


def convert_raw(case: RawCase, folder: Path) -> dict[str, Any]:
    """Frame with intensities in [0, 1] and three classes; training cases slice by slice."""
    voxels, labels, affine = read_pair(case)
    with naming(case.files["image"]):
        if orientation(nib.load(case.files["image"]).affine)[2, 0] != 2:
            raise ValueError("its header turns the slices away from the third axis, which ACDC's files do not")
    with naming(case.files["label"]):
        labels = remap(labels, TABLE)
    return _write(case, folder, case.files["image"], voxels, labels, affine)


def convert_prepared(case: RawCase, folder: Path) -> dict[str, Any]:
    """Volume from slices or from one file, as convert_raw makes it."""
    images, labels = [], []
    for path in case.files["arrays"]:
        image, label = read_arrays(path, ("img", "image"), ("label", "gt"))
        with naming(path):
            same_shape(image, label)
            images.append(image)
            labels.append(remap(label, TABLE))
    path = case.files["arrays"][0]
    with naming(path):
        voxels, classes = (
            reoriented(unknown_grid(stacked(arrays), DISPLAY), case.axcodes) for arrays in (images, labels)
        )
    return _write(case, folder, path, np.asarray(voxels.dataobj), np.asarray(classes.dataobj), voxels.affine)


def _write(
    case: RawCase, folder: Path, path: Path, voxels: np.ndarray, labels: np.ndarray, affine: np.ndarray
) -> dict[str, Any]:
    with naming(path):
        voxels = unit_range(voxels)
    output = Output(folder)
    (output.slices if case.part == "training" else output.volume)(case.part, case.name, voxels, labels, affine)
    return output.record()


def _plan(
    form: str,
    found: dict[tuple[str, ...], Any],
    names: dict[tuple[str, ...], str],
    convert: Converter,
    notes: list[str],
    details: dict[str, Any],
) -> ConversionPlan | None:
    known = [key for key in found if int(key[0]) in PATIENTS]
    if not known:
        return None
    if others := len(found) - len(known):
        notes = [*notes, f"left out: {others} frames of patients after {PATIENTS[-1]}"]
    patients = {int(key[0]) for key in known}
    dataset = Dataset(
        name=f"ACDC, from {form}",
        bundle=BUNDLE,
        description="Short-axis cine MR of the heart at end diastole and end systole, labels drawn by readers.",
        modality="MR",
        source="Automated Cardiac Diagnosis Challenge, CREATIS, Lyon",
        licence="CC BY-NC-SA 4.0",
        labels=CLASSES[BUNDLE],
        split="By patient, as published. Validation: "
        + " ".join(map(str, VALIDATION))
        + ". Test: "
        + " ".join(map(str, TEST))
        + ". Training: all other patients up to 100. Training items are single slices, the others are volumes.",
        details={
            "intensities": "each volume scaled from its minimum and maximum to [0, 1], before it is cut into slices; "
            "how the published preparation scales is not documented",
            **details,
        },
    )
    cases = [RawCase(names[key], part(int(key[0])), found[key]) for key in known]
    return ConversionPlan(cases, convert, dataset, [*notes, *missing_cases(patients, PATIENTS)])
