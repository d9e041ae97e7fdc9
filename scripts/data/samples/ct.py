"""The sample of msvm_synapse: single slices of one abdominal CT for training, volumes of other slices for the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..dataset import Dataset
from ..labels import CLASSES, remap
from ..output import Output
from ..reading import read_nifti

NAME = "TotalSegmentator CT sample"

SOURCE = Path(__file__).parent
TOTAL_TO_SYNAPSE = {52: 1, 4: 2, 3: 3, 2: 4, 5: 5, 7: 6, 1: 7, 6: 8}
FIRST_SLICE = 56
"""The organs lie in the slices 61 to 111, the last one."""
TEST = slice(59, None, 4)
VALIDATION = slice(57, None, 8)


def build(folder: Path) -> Dataset:
    """Write the images and labels into a folder.

    Returns:
        The description, with the lists of what was written.
    """
    image, total = (read_nifti(SOURCE / f"ct{end}.nii.gz")[1] for end in ("", "_total_labels"))
    hounsfield = np.asanyarray(image.dataobj)
    voxels = hounsfield.astype(np.int16)
    if not np.array_equal(voxels, hounsfield):
        raise ValueError("the CT has values that int16 cannot hold")
    labels = np.asanyarray(total.dataobj)
    labels = remap(labels, TOTAL_TO_SYNAPSE, ignored=set(range(118)) - set(TOTAL_TO_SYNAPSE))

    dataset = Dataset(
        name=NAME,
        bundle="msvm_synapse",
        description="Slices of one abdominal CT in Hounsfield units with labels of eight organs. The labels are the "
        "output of a model (TotalSegmentator), not drawn by a reader.",
        modality="CT",
        source="PyPI source distribution of totalsegmentator 2.18.0, tests/reference_files/example_ct.nii.gz and "
        "example_seg_fast_force_split.nii.gz",
        licence="Apache-2.0",
        labels=CLASSES["msvm_synapse"],
        split=f"Of the axial slices z ≥ {FIRST_SLICE} (counted from 0 at the bottom): z % 4 = 3 is the test volume, "
        "z % 8 = 1 the validation volume, every other slice is a training slice. No slice is in two parts.",
        caution="Training, validation and test are different slices of the same patient: this is a demonstration, and "
        "its scores say nothing about other patients.",
    )
    slices = range(voxels.shape[2])
    held_out = {*slices[TEST], *slices[VALIDATION]}
    parts = [("training", f"ct_z{z:03d}", slice(z, z + 1)) for z in slices[FIRST_SLICE:] if z not in held_out]
    parts += [("validation", "ct_validation", VALIDATION), ("test", "ct_test", TEST)]
    output = Output(folder)
    for part, name, chosen in parts:
        affine = image.slicer[:, :, chosen].affine
        output.volume(part, name, voxels[:, :, chosen], labels[:, :, chosen], affine)
    dataset.take(output.record())
    return dataset
