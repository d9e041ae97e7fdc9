"""The sample of xlstm_abdomen_mri_3d: one abdominal MR, divided into four volumes of interleaved slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..dataset import Dataset
from ..labels import CLASSES, remap, table_by_name
from ..output import Output
from ..reading import read_nifti
from .ct import SOURCE

NAME = "TotalSegmentator MR sample"
BUNDLE = "xlstm_abdomen_mri_3d"

TOTAL_NAMES = {
    1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gallbladder", 5: "liver", 6: "stomach", 7: "pancreas",
    8: "right adrenal gland", 9: "left adrenal gland", 14: "duodenum", 23: "aorta", 24: "inferior vena cava",
}  # fmt: skip
"""Of the names that the labels have in the file, those that the bundle segments."""
LARGEST_TOTAL_LABEL = 50
VOLUMES = {"mr_training_a": "training", "mr_validation": "validation", "mr_training_b": "training", "mr_test": "test"}
"""Names and parts of the volumes by the number of their first slice; each takes every fourth slice."""


def build(folder: Path) -> Dataset:
    """Write the images and labels into a folder.

    Returns:
        The description, with the lists of what was written.
    """
    image, total = (read_nifti(SOURCE / f"mr{end}.nii.gz")[1] for end in ("", "_total_labels"))
    voxels = np.asanyarray(image.dataobj)
    table, _ = table_by_name(BUNDLE, TOTAL_NAMES)
    others = set(range(LARGEST_TOTAL_LABEL)) - set(table)
    labels = remap(np.asanyarray(total.dataobj), table, ignored=others)

    dataset = Dataset(
        name=NAME,
        bundle=BUNDLE,
        description="Four volumes of the slices of one abdominal MR with labels of twelve of the thirteen organs; the "
        "oesophagus is not in the picture. The labels are the output of a model (TotalSegmentator), not drawn by a "
        "reader.",
        modality="MR",
        source="PyPI source distribution of totalsegmentator 2.18.0, tests/reference_files/example_mr_sm.nii.gz and "
        "example_seg_mr.nii.gz",
        licence="Apache-2.0",
        labels=CLASSES[BUNDLE],
        split="The scan has 20 slices 3 mm apart. Each volume takes every fourth of them, so it spans the whole scan "
        "with 5 slices 12 mm apart: from slice 0 (counted from 0 at the bottom) and from 2 for training, from 1 for "
        "validation, from 3 for test. No slice is in two parts.",
        caution="Training, validation and test are different slices of the same patient, 3 mm apart: this is a "
        "demonstration, and its scores say nothing about other patients.",
        details={"spacing": "from the files, 12 mm between slices", "intensities": "as in the file"},
    )
    output = Output(folder)
    for first, (name, part) in enumerate(VOLUMES.items()):
        chosen = slice(first, None, len(VOLUMES))
        affine = image.slicer[:, :, chosen].affine
        output.volume(part, name, voxels[:, :, chosen], labels[:, :, chosen], affine)
    dataset.take(output.record())
    return dataset
