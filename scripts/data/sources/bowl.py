"""The 2018 Data Science Bowl's nuclei (BBBC038), for xlstm_nuclei.

Source: Caicedo et al., "Nucleus segmentation across imaging experiments", Nature Methods 16 (2019).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ..dataset import Dataset
from ..labels import CLASSES
from ..layouts import ConversionPlan, Files, Layout, RawCase
from ..output import Output
from ..reading import naming, read_picture, same_shape
from .splits import parts_of

BUNDLE = "xlstm_nuclei"
PICTURE = r"\.(?:png|tiff?)"
SMALLEST_INTERIOR = 4
"""Smallest interior of a nucleus that the labels keep, in pixels."""


def find_folders(files: Files) -> ConversionPlan | None:
    """Plan for one folder for each picture, with ``images`` and ``masks``."""
    pictures = files.match(rf"(?P<case>[^/]+)/images/(?P=case){PICTURE}")
    masks: dict[str, list[Path]] = {}
    for (case, _), path in files.match(rf"(?P<case>[^/]+)/masks/(?P<object>[^/]+){PICTURE}").items():
        masks.setdefault(case, []).append(path)
    if not pictures or not masks:
        return None
    found = {case: path for (case,), path in pictures.items()}
    notes = []
    if alone := [case for case in found if case not in masks]:
        notes.append(f"left out: {len(alone)} pictures without masks, the first is {alone[0]}")
    if alone := [case for case in masks if case not in found]:
        raise UserError(f"{masks[alone[0]][0]} has no picture: {alone[0]}/images is needed")
    parts = parts_of(BUNDLE, sorted(case for case in found if case in masks))
    cases = [
        RawCase(name, part, {"image": found[name], "masks": sorted(masks[name])})
        for part, names in parts.items()
        for name in names
    ]
    return ConversionPlan(cases, convert, _dataset(), notes)


def convert(case: RawCase, folder: Path) -> dict[str, Any]:
    """Picture as RGB, interior and boundary, and the nuclei by number in the order of the files of their masks."""
    from components.transforms.instances import interior_boundary

    picture = read_picture(case.files["image"])
    instances = np.zeros(picture.shape[:2], np.uint16)
    for number, path in enumerate(case.files["masks"], start=1):
        mask = read_picture(path)
        with naming(path, case.files["image"]):
            same_shape(picture, mask, axes=2)
        mask = mask.any(axis=-1) if mask.ndim == 3 else mask != 0
        instances[mask & (instances == 0)] = number  # where two overlap the first one stays
    output = Output(folder)
    output.picture(
        case.part, case.name, case.files["image"], interior_boundary(instances, SMALLEST_INTERIOR), instances
    )
    return output.record()


def _dataset() -> Dataset:
    return Dataset(
        name="Data Science Bowl 2018",
        bundle=BUNDLE,
        description="Cell nuclei (fluorescence, histology, bright field) with the interior and boundary of each; the "
        "nuclei themselves are in the folder instances.",
        modality="microscopy",
        source="2018 Data Science Bowl, stage 1, Broad Bioimage Benchmark Collection BBBC038",
        licence="CC0-1.0",
        labels=CLASSES[BUNDLE],
        split="that of the bundle's weights: pictures that these have not seen are the test.",
        details={"spacing": "none", "intensities": "RGB, 8 bits, as in the files"},
    )


LAYOUTS = (
    Layout(
        "2018 Data Science Bowl",
        "stage1_train/ID/images/ID.png with one file for each nucleus in stage1_train/ID/masks",
        find_folders,
    ),
)
