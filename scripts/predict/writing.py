"""The files of a prediction, each whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from components.files import replacing
from components.images.endings import NIFTI, ending_of
from components.images.grid import label_image
from components.images.stacks import ENDINGS as STACKS
from components.images.stacks import write_stack
from components.images.volumes import ITK_TO_NIFTI, simple_itk

from ..bundle.inference import InferenceBundle
from ..errors import UserError
from .cases import Case
from .command import FORMATS
from .dicom import write_segmentation
from .overlay import write_overlay
from .predictor import Prediction
from .reading import Loaded

OF_ITK = {".nrrd": "nrrd", ".nhdr": "nrrd", ".mha": "mha", ".mhd": "mha"}
"""Formats of label maps by the ending of the image; all others get the first of FORMATS."""


@dataclass(frozen=True)
class Wanted:
    """What is to be written for each case.

    Args:
        form: format of the label maps of volumes; None for the format of the image, NIfTI for DICOM.
        probabilities: whether to write the probabilities.
        segmentation: whether to write a DICOM segmentation for DICOM series.
        overlay: whether to write a picture of the image with what was found.
        plain: whether the first map is called like the case alone, as nnU-Net does.
    """

    form: str | None = None
    probabilities: bool = False
    segmentation: bool = False
    overlay: bool = False
    plain: bool = False

    def ending(self, case: Case) -> str:
        """Ending of the label maps of a case."""
        if case.kind == "picture":
            return ".png"
        ending = ending_of(case.files[0])
        if self.plain and self.form is None and (ending in NIFTI or case.kind == "stack"):
            return ending
        return f".{self.form or OF_ITK.get(ending, FORMATS[0])}"

    def files(self, case: Case, bundle: InferenceBundle) -> dict[str, str]:
        """Names of the files of a case, by the postfix of the map, "probabilities", "segmentation" or "overlay"."""
        ending = self.ending(case)
        names = {p.postfix: f"{case.name}_{p.postfix}{ending}" for p in bundle.products}
        if self.plain:
            names[bundle.products[0].postfix] = f"{case.name}{ending}"
        if self.probabilities:
            names["probabilities"] = f"{case.name}_probabilities.{'npz' if case.kind == 'picture' else 'nii.gz'}"
        if self.segmentation and case.kind == "dicom":
            names["segmentation"] = f"{case.name}_{bundle.products[0].postfix}.dcm"
        if self.overlay:
            names["overlay"] = f"{case.name}_overlay.png"
        return names


def write_prediction(
    folder: Path,
    names: Mapping[str, str],
    prediction: Prediction,
    loaded: Loaded,
    bundle: InferenceBundle,
    weights: str,
) -> None:
    """Write all files of a case.

    Args:
        folder: where to.
        names: names of the files, of :meth:`Wanted.files`.
        prediction: what is written.
        loaded: the image, whose geometry the files get.
        bundle: what made the prediction.
        weights: SHA-256 of its weights.

    Raises:
        UserError: if the format cannot hold the geometry.
    """
    for postfix, labels in prediction.maps.items():
        write_map(folder / names[postfix], labels, loaded.image)
    if "probabilities" in names:
        _write_probabilities(folder / names["probabilities"], prediction, loaded.image, bundle.heads)
    if "overlay" in names:
        write_overlay(folder / names["overlay"], prediction, loaded, str(bundle.takes["modality"]))
    if "segmentation" in names:
        model = f"{bundle.name} {bundle.version}"
        path = folder / names["segmentation"]
        write_segmentation(path, prediction.labels, loaded.dicom, prediction.names, model, weights)


def write_map(path: Path, labels: np.ndarray, image: nib.Nifti1Image | None) -> None:
    """Write a label map as NIfTI, NRRD, MHA, PNG or TIFF stack, by the ending of the path.

    Args:
        path: the file.
        labels: X × Y × Z, or height × width.
        image: the volume with the geometry to keep, its codes and units included; None for pictures.
    """
    if image is not None and path.suffix in STACKS:
        write_stack(path, labels, image.affine)
        return
    with replacing(path) as partial:
        if image is None:
            Image.fromarray(labels).save(partial)
        elif path.name.endswith((".nrrd", ".mha")):
            _write_itk(partial, labels, image.affine)
        else:
            nib.save(label_image(labels, image), partial)


def _write_probabilities(
    path: Path, prediction: Prediction, image: nib.Nifti1Image | None, heads: Mapping[int, str]
) -> None:
    with replacing(path) as partial:
        if image is None:
            names = np.array([heads[n] for n in sorted(heads)])
            np.savez_compressed(partial, probabilities=prediction.probabilities.astype(np.float16), names=names)
        else:
            # NIfTI has no float16: whole numbers of 16 bits with a scale take the same room and are more exact.
            written = label_image(np.moveaxis(prediction.probabilities, 0, -1), image)
            written.set_data_dtype(np.uint16)
            nib.save(written, partial)


def _write_itk(path: Path, labels: np.ndarray, affine: np.ndarray) -> None:
    sitk = simple_itk()
    affine = ITK_TO_NIFTI @ affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / spacing
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
        raise UserError("the axes of the image are not at right angles, which only NIfTI can hold: --format nii.gz")
    volume = sitk.GetImageFromArray(np.ascontiguousarray(labels.T))
    volume.SetSpacing(spacing.tolist())
    volume.SetOrigin(affine[:3, 3].tolist())
    volume.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(volume, str(path), useCompression=True)
