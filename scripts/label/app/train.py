"""Training of a bundle in MONAI Label."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.tasks.train.bundle import BundleTrainTask

from components.images.endings import is_picture

from ...bundle.inference import InferenceBundle
from ...errors import UserError
from ..kinds import is_slicewise
from ..training import Study, item, slices
from .infer import WEIGHTS

VAL_INTERVAL = 5
"""Epochs between validations: the recipes train much longer than one does beside labelling."""

OPTIONS = {"batch_size": int, "epoch_length": int, "learning_rate": float, "val_interval": int}
"""Top-level values of a training config that a client can change."""


class BundleTraining(BundleTrainTask):
    """MONAI Label's training of a bundle, on the studies that the bundle can read.

    Args:
        path: folder of the bundle.
        conf: configuration of the server.
    """

    def __init__(self, path: str, conf: Mapping[str, str]) -> None:
        self.bundle = InferenceBundle(path)
        self.folder = Path(path) / "training_data"
        self.options: dict[str, Any] = {}
        super().__init__(path, conf, load_strict=True)

    def config(self) -> dict[str, Any]:
        """What a client can choose, with the values of the recipe."""
        recipe = {name: self.bundle_config.get(name) for name in OPTIONS} | {"val_interval": VAL_INTERVAL}
        known = {name: value for name, value in recipe.items() if value is not None}
        return {**super().config(), **known, "model_filename": WEIGHTS, "run_id": "run"}

    def __call__(self, request: dict[str, Any], datastore: LocalDatastore) -> dict[str, Any]:
        """Train, as MONAI Label does.

        Raises:
            UserError: if there is nothing to train on, or a study or an option is wrong.
        """
        self.options = _options({"val_interval": VAL_INTERVAL, **request})
        weights = Path(self.bundle_path) / "models" / WEIGHTS[0]
        if request.get("pretrained", True) and not weights.is_file():
            raise UserError(f"{weights} is missing: start the server again, or train with pretrained false")
        if not 0 <= request.get("val_split", 0.2) < 1:
            raise UserError(f"val_split must be from 0 to below 1, not {request['val_split']}")
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            # With an empty run_id, which 3D Slicer sends, MONAI runs all that the config can run: each training twice.
            run_id = request.get("run_id") or "run"
            return super().__call__({**request, **self.options, "run_id": run_id}, datastore)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _fetch_datalist(self, request: dict[str, Any], datastore: LocalDatastore) -> list[dict[str, str]]:
        datastore.datalist()  # brings the labels of a DICOMweb server into the local store, which the rest reads
        studies = [_study(datastore, name) for name in LocalDatastore.get_labeled_images(datastore)]
        readable = [study for study in studies if is_picture(study.image) == self.bundle.takes_pictures]
        if not readable:
            raise UserError(f"no study for {self.bundle.name} has a final label yet: submit labels first")
        return [item(study, self.bundle, self.folder / "labels") for study in readable]

    def _load_checkpoint(self, model_pytorch: str, pretrained: bool, train_handlers: list[dict[str, Any]]) -> None:
        if pretrained:
            super()._load_checkpoint(model_pytorch, pretrained, train_handlers)
            train_handlers[0]["map_location"] = "cpu"

    def _update_overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        training, validation = overrides["train#dataset#data"], overrides["validate#dataset#data"]
        if is_slicewise(self.bundle):
            overrides["train#dataset#data"] = slices(training, self.bundle, self.folder / "slices")
        epochs = overrides["train#trainer#max_epochs"]
        interval = min(self.options["val_interval"], epochs) if validation else epochs + 1
        # The learning rate's schedule has the length of this training, not of the recipe.
        overrides |= {**self.options, "max_epochs": epochs, "val_interval": interval}
        if str(overrides["device"]).startswith("cpu"):
            overrides["amp"] = False
        return overrides

    def run_multi_gpu(self, request: dict[str, Any], cmd: Sequence[str], env: Mapping[str, str]) -> None:
        """Train in several processes; a failure of one is a failure."""
        subprocess.run(cmd, env=dict(env), check=True)


def _options(request: Mapping[str, Any]) -> dict[str, Any]:
    options = {}
    for name, kind in {**OPTIONS, "max_epochs": int}.items():
        if name in request:
            try:
                options[name] = kind(request[name])
            except (TypeError, ValueError) as error:
                raise UserError(f"{name} must be a number, not {request[name]!r}") from error
            if options[name] <= 0:
                raise UserError(f"{name} must be above 0, not {request[name]}")
    return options


def _study(datastore: LocalDatastore, name: str) -> Study:
    tag = DefaultLabelTag.FINAL
    told = datastore.get_label_info(name, tag).get("label_info")
    classes = {int(entry["idx"]): str(entry["name"]) for entry in told or () if {"idx", "name"} <= entry.keys()}
    image = LocalDatastore.get_image_uri(datastore, name)
    label = LocalDatastore.get_label_uri(datastore, name, tag)
    return Study(name, Path(image), Path(label), classes or None)
