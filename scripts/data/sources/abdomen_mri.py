"""AMOS22's abdominal MR, for xlstm_abdomen_mri_3d.

Source: Ji et al., "AMOS", arXiv 2206.08023; the test cases of Dataset702_AbdomenMR were labelled for U-Mamba,
Ma et al., arXiv 2401.04722.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import Dataset
from ..labels import CLASSES, remap
from ..layouts import ConversionPlan, Files, Layout, RawCase
from ..output import Output
from ..reading import naming, read_pair
from .nnunet import dataset_json, divided, find_pairs, label_names, label_table, split_words

BUNDLE = "xlstm_abdomen_mri_3d"
SUFFIX = r"\.nii(?:\.gz)?"
LAST_CT = 500
"""AMOS22 numbers its CT up to here, its MR from here on."""
NOT_SEGMENTED = ("bladder", "prostate/uterus")
"""Classes of AMOS22 that the bundle does not have; they become background."""


@dataclass(frozen=True)
class Convert:
    """Make a volume.

    Args:
        table: label in the file → class of the bundle.
        ignored: labels that become background.
    """

    table: Mapping[int, int]
    ignored: tuple[int, ...] = ()

    def __call__(self, case: RawCase, folder: Path) -> dict[str, Any]:
        """Volume in the scanner's units, with the thirteen organs."""
        voxels, labels, affine = read_pair(case)
        with naming(case.files["image"]):
            voxels = compact(voxels)
        with naming(case.files["label"]):
            labels = remap(labels, self.table, self.ignored)
        output = Output(folder)
        output.volume(case.part, case.name, voxels, labels, affine)
        return output.record()


def find_amos(files: Files) -> ConversionPlan | None:
    """Plan for AMOS22 as published, CT left out."""
    parts, notes = {}, []
    for part in ("Tr", "Va", "Ts"):
        found, alone = find_pairs(files, f"images{part}", f"labels{part}", SUFFIX, channel="")
        parts[part] = {name: pair for name, pair in found.items() if re.fullmatch(r"amos_\d+", name)}
        notes += alone if parts[part] else []
    count = sum(map(len, parts.values()))
    parts = {part: {name: pair for name, pair in found.items() if is_mr(name)} for part, found in parts.items()}
    if not parts["Tr"]:
        return None
    if ct := count - sum(map(len, parts.values())):
        notes.append(f"left out: {ct} CT volumes (numbers up to {LAST_CT})")
    json_file = dataset_json(parts["Tr"])
    names = label_names(json_file)
    table, ignored, more = label_table(BUNDLE, json_file, NOT_SEGMENTED)
    published = bool(parts["Ts"])
    training = {**parts["Tr"], **parts["Va"]} if published else parts["Tr"]
    test = parts["Ts"] if published else parts["Va"]
    words = "imagesTs." if published else (
        "imagesVa, because imagesTs has no labels. The published test cases were labelled later and are in "
        "Dataset702_AbdomenMR, so scores on these are not comparable with the published ones."
    )  # fmt: skip
    dataset = _dataset("AMOS22 (MR)", words)
    dataset.details["source_labels"] = {str(number): name for number, name in names.items()}
    if not test:
        notes.append("there are no test cases: neither imagesTs nor imagesVa has labels")
    return ConversionPlan(divided(training, test), Convert(table, ignored), dataset, notes + more)


def find_nnunet(files: Files) -> ConversionPlan | None:
    """Plan for Dataset702_AbdomenMR."""
    training, notes = find_pairs(files, "imagesTr", "labelsTr", SUFFIX)
    if not training:
        return None
    test, more = find_pairs(files, "imagesTs", "labelsTs", SUFFIX)
    ct = [name for found in (training, test) for name in found if not is_mr(name)]
    if ct:
        notes.append(f"left out: {len(ct)} CT volumes (numbers up to {LAST_CT})")
    training, test = ({n: p for n, p in found.items() if is_mr(n)} for found in (training, test))
    json_file = dataset_json(training)
    table, ignored, about = label_table(BUNDLE, json_file, NOT_SEGMENTED)
    if not test:
        more.append("there are no test cases: imagesTs has no labels")
    dataset = _dataset("AMOS22 (MR), from Dataset702_AbdomenMR", "imagesTs, as published.")
    return ConversionPlan(divided(training, test), Convert(table, ignored), dataset, notes + more + about)


LAYOUTS = (
    Layout(
        "AMOS22",
        "imagesTr/amos_0507.nii.gz with labelsTr/amos_0507.nii.gz (MR has numbers over 500) and dataset.json",
        find_amos,
    ),
    Layout(
        "nnU-Net's Dataset702_AbdomenMR",
        "imagesTr/amos_0507_0000.nii.gz with labelsTr/amos_0507.nii.gz and dataset.json",
        find_nnunet,
    ),
)


def is_mr(name: str) -> bool:
    """Whether a case is MR by its number in AMOS22; other names are taken for MR."""
    numbered = re.fullmatch(r"amos_(\d+)", name)
    return numbered is None or int(numbered[1]) > LAST_CT


def compact(voxels: np.ndarray) -> np.ndarray:
    """Voxels as int16 where that loses nothing, as float32 where not.

    Raises:
        ValueError: if there is NaN or infinity.
    """
    if not np.isfinite(voxels).all():
        raise ValueError("some voxels are NaN or infinite")
    limits = np.iinfo(np.int16)
    if voxels.min() >= limits.min and voxels.max() <= limits.max and np.array_equal(voxels, np.rint(voxels)):
        return voxels.astype(np.int16)
    return voxels.astype(np.float32)


def _dataset(name: str, test: str) -> Dataset:
    return Dataset(
        name=name,
        bundle=BUNDLE,
        description="Abdominal MR with labels of thirteen organs.",
        modality="MR",
        source="AMOS22, amos22.grand-challenge.org",
        licence="as stated where the data set is published",
        labels=CLASSES[BUNDLE],
        split=split_words(test),
        details={"spacing": "from the files", "intensities": "as in the files"},
    )
