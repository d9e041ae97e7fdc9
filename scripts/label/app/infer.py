"""Inference of a bundle in MONAI Label."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.transforms import CopyItemsd, SaveImaged, SqueezeDimd
from monailabel.tasks.infer.bundle import BundleInferTask
from torch import nn

from components.images.endings import ending_of, is_volume, kind_of
from components.transforms import InteriorToInstancesd
from components.transforms.save_map import check_map, map_of

from ...bundle.inference import InferenceBundle, load_weights
from ...errors import UserError
from ..kinds import check_kind

WRITTEN = (".nii.gz", ".nii", ".nrrd", ".mha")
"""Formats in which MONAI Label writes label maps of volumes."""
WEIGHTS = ["model.pt"]
"""MONAI Label would offer every ``models/*.pt`` and take the shortest name, the state of a training."""


class BundleInference(BundleInferTask):
    """MONAI Label's inference of a bundle, that never answers with weights which do not fit.

    Args:
        path: folder of the bundle.
        conf: configuration of the server.
    """

    def __init__(self, path: str, conf: Mapping[str, str]) -> None:
        self.bundle = InferenceBundle(path)
        made_for_files = [SaveImaged, CopyItemsd, InteriorToInstancesd]
        super().__init__(path, conf, post_filter=made_for_files, load_strict=True)
        if not self.valid:
            raise UserError(f"{path}: models/model.pt is missing")
        if self.bundle.takes_regions:  # MONAI Label takes the channels of the output for labels
            self.labels = {name.lower(): number for number, name in self.bundle.labels.items() if number}
        self.dimension = 2 if self.bundle.takes_pictures else 3
        self._config["model_filename"] = WEIGHTS

    def __call__(self, request: dict[str, Any], callbacks: Any = None) -> tuple[str | None, dict[str, Any]]:
        """Segment an image, as MONAI Label does.

        Raises:
            UserError: if the bundle cannot read the image, or its weights are missing or do not fit.
        """
        if isinstance(request.get("image"), str):
            check_kind(self.bundle, Path(request["image"]))
        return super().__call__(request, callbacks)

    def run_pre_transforms(self, data: dict[str, Any], transforms: Sequence[Callable]) -> dict[str, Any]:
        """Prepare the image; Spacingd must not see ``image_path``, which it takes for metadata of ``image``."""
        path = data.pop("image_path", None)
        data = super().run_pre_transforms(data, transforms)
        return data if path is None else {**data, "image_path": path}

    def post_transforms(self, data: dict[str, Any] | None = None) -> Sequence[Callable]:
        """The bundle's own, without writing; a picture loses its channel at the end."""
        transforms = list(super().post_transforms(data))
        if self.bundle.takes_pictures:
            transforms.append(SqueezeDimd(self.key_pred, dim=0))
        return transforms

    def writer(self, data: dict[str, Any], extension: str | None = None, dtype: Any = None) -> tuple[Any, Any]:
        """Write the label map, as PNG for pictures, because JPEG would change the numbers."""
        data.setdefault("result_dtype", "uint8")
        if self.bundle.takes_pictures:
            data.setdefault("result_extension", ".png")
        elif is_volume(path := str(data.get("image_path", ""))) and not path.endswith(WRITTEN):
            data.setdefault("result_extension", ending if (ending := ending_of(path)) in WRITTEN else WRITTEN[0])
        if self.bundle.takes_pictures:
            return super().writer(data, extension, dtype)
        labels, meta = data[self.key_pred], data[self.key_image].meta
        check_map(labels, meta)
        file, answer = super().writer(data, extension, dtype)
        if isinstance(file, str) and kind_of(file) == "nifti":  # with the affines and the unit of the image's file
            nib.save(map_of(np.asarray(labels.cpu()).astype(data["result_dtype"]), meta), file)
        return file, answer

    def _get_network(self, device: str, data: dict[str, Any] | None) -> nn.Module:
        weights = Path(self.path[0])
        if not weights.is_file():
            raise UserError(f"{weights} is missing: start the server again, which copies the weights of the bundle")
        try:
            return super()._get_network(device, data)
        except Exception:
            load_weights(copy.deepcopy(self.network), weights, self.bundle)  # raises an error that says what is wrong
            raise
