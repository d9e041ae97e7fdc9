"""Real images of the samples, and settings that make the networks small."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

SAMPLES = Path(__file__).parents[3] / "scripts" / "data" / "samples"
_STAGES = {"network_def#features": [8, 16], "network_def#kernel_sizes": [3, 3], "network_def#strides": [1, 2]}
SMALL = {
    "msvm_synapse": {"roi_size": [32, 32]},
    "msvm_acdc": {"roi_size": [32, 32]},
    "xlstm_abdomen_mri_3d": {"patch_size": [8, 16, 16], "pixdim": [12.0, 6.0, 6.0], **_STAGES},
    "xlstm_cells": {"patch_size": [48, 80], **_STAGES},
    "xlstm_endoscopy": {"patch_size": [32, 32], **_STAGES},
}
"""Overrides that make the work small; the rest of the recipe is as it is."""


def as_itk(image):
    """The same volume for SimpleITK, as its own reader of NIfTI makes it."""
    array = np.asanyarray(image.dataobj)
    volume = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    affine = np.diag([-1, -1, 1, 1]) @ image.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    volume.SetSpacing(spacing.tolist())
    volume.SetOrigin(affine[:3, 3].tolist())
    volume.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return volume
