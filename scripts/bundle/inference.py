"""A bundle as it is used for inference: its inference config, what it takes and what its labels mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser
from monai.inferers import Inferer
from torch import nn

from components.files import read_json
from components.handlers.weights import ensemble, trained_folds, weight_files
from components.handlers.weights import load_weights as fill
from components.validation import check_choice

from ..data.labelling import IGNORE
from ..errors import UserError, one_line, root_cause
from ..files import hexdigest
from .config import SAVING, kind_of
from .find import find_bundle


@dataclass(frozen=True)
class Product:
    """A map that the postprocessing of a bundle saves.

    Args:
        key: its key in the item.
        postfix: end of its file name.
        dtype: type of the numbers in the file.
    """

    key: str
    postfix: str
    dtype: str


class InferenceBundle:
    """Reads ``configs/inference.json`` and ``configs/metadata.json`` of a bundle.

    Args:
        name: name or folder of the bundle.
        override: values of the config to use instead, by id, for example ``{"roi_size": [256, 256]}``.

    Raises:
        UserError: if there is no such bundle, a file of it is missing, or an id to override is not in the config.
    """

    def __init__(self, name: str | Path, override: Mapping[str, Any] | None = None) -> None:
        self.root = find_bundle(name)
        self.name = self.root.name
        self.metadata: dict[str, Any] = read_json(self.root / "configs" / "metadata.json")
        self.config_file = self.root / "configs" / "inference.json"
        self.override = dict(override or {})
        self.parser = ConfigParser(read_json(self.config_file))
        for key, value in {**self.override, "bundle_root": str(self.root)}.items():
            check_choice("id in --override", key.replace("::", "#").partition("#")[0], self.parser.config)
            try:
                self.parser[key] = value
            except (KeyError, IndexError, TypeError) as error:
                raise UserError(f"--override: {self.config_file} has no {key}") from error
        self.products = self._take_over_saving()
        try:
            self.parser.get_parsed_content("initialize", default=None)
        except Exception as error:  # for example components of another version
            raise UserError(f"bundle {self.name}: {one_line(root_cause(error))}") from error

    @property
    def version(self) -> str:
        """Version of the bundle."""
        return str(self.metadata.get("version", ""))

    @property
    def config_sha256(self) -> str:
        """Hash of the inference config, without the overrides."""
        return hexdigest(self.config_file)

    @property
    def takes(self) -> dict[str, Any]:
        """Description of the input in the metadata: modality, format, num_channels, spatial_shape."""
        return next(iter(self.metadata["network_data_format"]["inputs"].values()))

    @property
    def channels(self) -> int:
        """Number of channels of an image, without those that a cascade makes of the map of its previous stage."""
        return int(self.takes["num_channels"]) - len(self.get("previous_labels", ()))

    @property
    def previous_stage(self) -> Path | None:
        """Folder of the bundle that makes a further input of this one; None if this is no cascade."""
        stage = self.get("previous_stage")
        return None if stage is None else Path(stage).resolve()

    @property
    def override_of_previous_stage(self) -> dict[str, Any]:
        """Where the weights of that bundle are, as an override of its config."""
        place = self.get("previous_ckpt_dir")
        return {} if place is None else {"ckpt_dir": place}

    @property
    def takes_pictures(self) -> bool:
        """Whether it takes pictures with colours (RGB) rather than volumes."""
        return self.takes["format"] == "rgb"

    @property
    def wanted(self) -> str:
        """What it takes, as text."""
        kind = "pictures" if self.takes_pictures else "volumes"
        channels = "1 channel" if self.channels == 1 else f"{self.channels} channels"
        return f"{self.name} takes {kind} ({self.takes['modality']}, {channels})"

    @property
    def labels(self) -> dict[int, str]:
        """Name of each label, background included; of regions the last that is written names a label."""
        if not self.takes_regions:
            return self.heads
        order = self.get("regions_class_order")
        return {0: "background", **{label: self.heads[channel] for channel, label in enumerate(order)}}

    @property
    def known(self) -> dict[int, str]:
        """Name of each label that label maps for a training may have: of regions and of ignored voxels, too."""
        parts = {label: f"label {label}" for region in self.get("regions", ()) for label in region}
        ignore = self.get("ignore_label")
        return {**parts, **self.labels, **({} if ignore is None else {ignore: IGNORE})}

    @property
    def heads(self) -> dict[int, str]:
        """Name of each channel of the network's output: classes, background included, or regions."""
        output = next(iter(self.metadata["network_data_format"]["outputs"].values()))
        return {int(number): str(name) for number, name in output["channel_def"].items()}

    @property
    def finds_objects(self) -> bool:
        """Whether its label maps number objects (instances), instead of having a number for each class."""
        return any(step["_target_"].endswith("InteriorToInstancesd") for step in self._steps("postprocessing"))

    @property
    def values(self) -> dict[int, str]:
        """What the values of its label maps mean; of numbered objects all from 1 on mean the same."""
        return {0: "background", 1: "objects, numbered from 1 on"} if self.finds_objects else self.labels

    @property
    def takes_argmax(self) -> bool:
        """Whether the labels are the classes with the largest output, so that softmax gives their probabilities."""
        steps = self._steps("postprocessing")
        return any(step["_target_"].endswith("AsDiscreted") and step.get("argmax") for step in steps)

    @property
    def takes_regions(self) -> bool:
        """Whether the outputs are regions that may overlap, so that sigmoid gives their probabilities."""
        return any(step["_target_"].endswith("RegionsToLabelsd") for step in self._steps("postprocessing"))

    @property
    def default_weights(self) -> Path:
        """The file of weights that its config loads."""
        loaders = [h for h in self.parser.config.get("handlers", []) if "CheckpointLoader" in h.get("_target_", "")]
        if loaders:
            place = self.parser.config["handlers"].index(loaders[0])
            files = self.parser.get_parsed_content(f"handlers#{place}#load_path")
            return Path(files if isinstance(files, str) else files[0])
        return self.root / "models" / "model.pt"

    def weights(self, files: str | Path | Sequence[str | Path] | None = None, folds: Any = None) -> list[Path]:
        """The files of weights to use, several for an average.

        Args:
            files: paths, also with commas between them; by default the one that the config loads.
            folds: "all" or numbers of folds, whose weights are in the bundle's ``ckpt_dir``.

        Raises:
            UserError: as of :func:`components.handlers.weight_files`.
        """
        if files is None and folds is None:
            return [self.default_weights]
        try:
            return [Path(path) for path in weight_files(self.get("ckpt_dir", self.root / "models"), files, folds)]
        except (ValueError, FileNotFoundError) as error:
            raise UserError(f"--{'folds' if files is None else 'weights'}: {error}") from error

    def get(self, key: str, default: Any = None) -> Any:
        """Content of an id of the config, made ready."""
        return self.parser.get_parsed_content(key, default=default)

    def _steps(self, key: str) -> list[dict[str, Any]]:
        try:
            return self.parser.config[key]["transforms"]
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.config_file}: {key} has to be a Compose with a list of transforms") from error

    def _take_over_saving(self) -> list[Product]:
        products = []
        for number, step in enumerate(self._steps("postprocessing")):
            if kind_of(step) in SAVING:
                place = f"postprocessing#transforms#{number}"
                key = self.parser.get_parsed_content(f"{place}#keys")
                products.append(
                    Product(
                        key=key if isinstance(key, str) else key[0],
                        postfix=str(self.get(f"{place}#output_postfix", "trans")),
                        dtype=np.dtype(self.get(f"{place}#output_dtype", "float32")).name,
                    )
                )
                step["_disabled_"] = True
        if not products:
            raise UserError(f"{self.config_file}: postprocessing has no {SAVING[1]}, so there is nothing to write")
        self.parser.ref_resolver.reset()
        if self.finds_objects and len(products) > 1:  # classes are only the way to the objects
            return [replace(products[-1], postfix=products[0].postfix)]
        return products


def load_weights(network: nn.Module, path: Path, bundle: InferenceBundle) -> str:
    """Fill a network from a file of our training: ``model.pt`` (weights) or ``last.pt`` (state of a training).

    Args:
        network: the network of the bundle.
        path: the file; only tensors and plain values are read from it.
        bundle: for the messages.

    Returns:
        SHA-256 of the file.

    Raises:
        UserError: if the file is missing or damaged, or any tensor does not fit.
    """
    with _telling(path, bundle):
        fill(network, path, bundle.name)
    return hexdigest(path)


def load_ensemble(
    inferer: Inferer, network: nn.Module, paths: Sequence[Path], bundle: InferenceBundle
) -> tuple[Inferer, list[str]]:
    """Let an inferer average over several files of weights; of a single one the network is filled.

    Args:
        inferer: the inferer of the bundle.
        network: the network of the bundle.
        paths: the files, as of :func:`load_weights`.
        bundle: for the messages.

    Returns:
        The inferer, and the SHA-256 of each file.

    Raises:
        UserError: as of :func:`load_weights`.
    """
    if len(paths) == 1:
        return inferer, [load_weights(network, paths[0], bundle)]
    with _telling(next((path for path in paths if not path.is_file()), paths[0]), bundle):
        averaged = ensemble(inferer, network, paths, bundle.name, sigmoid=bundle.takes_regions)
        return averaged, [hexdigest(path) for path in paths]


def get_weights(name: str) -> str:
    """How to get weights for a bundle, for messages."""
    return (
        f"get released ones with `scanseg zoo fetch`, convert published ones with `scanseg weights convert`, or train "
        f"{name}"
    )


@contextmanager
def _telling(path: Path, bundle: InferenceBundle) -> Iterator[None]:
    """Say where to get weights if there are none, and what is wrong with those that do not fit."""
    if not path.is_file():
        if trained_folds(path.parent):
            raise UserError(f"there are no weights at {path}, but folds beside it: average them with --folds all")
        raise UserError(f"there are no weights at {path}: give a file with --weights, {get_weights(bundle.name)}")
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from error
