"""A bundle with its weights, ready to segment one image after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Invertd, LoadImaged, allow_missing_keys_mode
from torch import Tensor

from components.finite import all_finite
from components.handlers.weights import trained_folds
from components.images.exif import stored
from components.images.grid import check_same_grid, label_image
from components.inferers import MirrorInferer

from ..bundle.config import PREVIOUS
from ..bundle.inference import InferenceBundle, load_ensemble
from ..errors import UserError
from .cases import Case, find_cases
from .reading import Given, Loaded, load_case


@dataclass(frozen=True)
class Prediction:
    """What a bundle says about an image, on the grid of the image.

    Args:
        maps: the label map, and other maps that the bundle makes, by the postfixes of their file names, the label map
            first. Of volumes X × Y × Z, as nibabel gives the voxels; of pictures height × width.
        names: name of each label, 0 is the background.
        affine: 4 × 4, from voxel numbers to mm (RAS); None for pictures.
        probabilities: classes × the shape of the label map, float32, their sum is 1; of regions, which may overlap,
            each one's own; None if not asked for. Where the recipe brings the labels back to the grid by nearest
            neighbours (MSVM-UNet), they are brought back by interpolation, so that at the border of an organ the
            largest one may be another label.
    """

    maps: dict[str, np.ndarray]
    names: dict[int, str]
    affine: np.ndarray | None = None
    probabilities: np.ndarray | None = field(default=None, repr=False)

    @property
    def labels(self) -> np.ndarray:
        """The label map."""
        return next(iter(self.maps.values()))


class Predictor:
    """Segments images with a bundle: its own network, preprocessing, inferer and postprocessing.

    The labels are those that ``python -m monai.bundle run inferring`` writes. For a cascade the bundle of its previous
    stage segments the image first: with the weights of its folds where it has some, or else with its own.

    Args:
        bundle: name or folder of a bundle, or a :class:`Bundle`.
        weights: file of weights, or several, whose probabilities are averaged; the bundle's ``models/model.pt`` by
            default.
        device: "cpu", "cuda" or "cuda:1"; that of the bundle's config by default.
        tta: average over mirrored inputs, along all axes of the network's input.
        amp: half precision in the network: float16 on CUDA, bfloat16 on a CPU; by default what the config says on
            CUDA, and no on a CPU.
        override: values of the bundle's config to use instead, by id.
        folds: "all" or numbers of folds, to average over the weights of these instead, in the previous stage too.

    Raises:
        UserError: if the bundle, the weights or the device is not there, or they do not fit.

    Example of use::

        predictor = Predictor("msvm_synapse", weights="model.pt", device="cpu")
        prediction = predictor("ct.nii.gz")
        prediction.labels.shape, prediction.names[5]
    """

    def __init__(
        self,
        bundle: InferenceBundle | str | Path,
        weights: str | Path | Sequence[str | Path] | None = None,
        device: str | None = None,
        tta: bool = False,
        amp: bool | None = None,
        override: Mapping[str, Any] | None = None,
        folds: str | Sequence[int] | None = None,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, InferenceBundle) else InferenceBundle(bundle, override)
        parser = self.bundle.parser
        if device is not None:
            parser["device"] = f"$torch.device('{checked_device(device)}')"
        if tta and "mirror_axes" in parser:
            parser["mirror_axes"] = self._axes()
        self.device: torch.device = self.bundle.get("device")
        self.tta = tta
        self.amp = bool(self.bundle.get("amp", False)) and self.device.type == "cuda" if amp is None else amp
        self.network = self.bundle.get("network").eval()
        self.preprocessing = self.bundle.get("preprocessing")
        self.postprocessing = self.bundle.get("postprocessing")
        inferer = self.bundle.get("inferer")
        if tta and "mirror_axes" not in parser:
            inferer = MirrorInferer(inferer, self._axes())
        self.weights = self.bundle.weights(weights, folds)
        self.previous = self._previous_stage(folds)
        self.inferer, self.weights_sha256 = load_ensemble(inferer, self.network, self.weights, self.bundle)
        if not isinstance(self.preprocessing.transforms[0], LoadImaged):
            raise UserError(f"{self.bundle.config_file}: preprocessing must begin with LoadImaged")

    def __call__(self, image: str | Path | Case, probabilities: bool = False, volume: int | None = None) -> Prediction:
        """Segment one image.

        Args:
            image: an image file, or the folder of a DICOM series.
            probabilities: whether to give the probability of each class too.
            volume: which volume is taken, from 1 on, of a DICOM series with several.

        Raises:
            UserError: if it cannot be read or is not what the bundle takes.
        """
        if not isinstance(image, Case):
            cases, _ = find_cases(Path(image))
            if len(cases) > 1:
                raise UserError(f"{image} holds {len(cases)} images, but one is needed: use predict for folders")
            image = replace(cases[0], volume=volume)
        return self.segment(image, load_case(image, self.bundle), probabilities)

    def segment(self, case: Case, loaded: Loaded, probabilities: bool = False) -> Prediction:
        """Segment an image that is in memory; arguments as of the call.

        Raises:
            UserError: if the network's output is not finite, or there are no probabilities.
        """
        if probabilities and not (self.bundle.takes_argmax or self.bundle.takes_regions):
            raise UserError(f"{self.bundle.name} has neither classes nor regions with probabilities to save")
        key = self.preprocessing.transforms[0].keys[0]
        item = self.preprocessing(self._loaded(key, case, loaded), start=1)
        image = item[key]
        precision = torch.autocast(self.device.type) if self.amp else nullcontext()
        with torch.no_grad(), precision:
            logits = self.inferer(image.as_tensor()[None].to(self.device), self.network)[0]
        if not all_finite(logits):
            hint = "; try --noamp" if self.amp else ""
            raise UserError(f"the network's output for {case.source} holds NaN or infinity{hint}")
        chances = self._probabilities(key, image, logits, loaded) if probabilities else None
        done = self.postprocessing({key: image, "pred": MetaTensor(logits)})
        maps = {p.postfix: _on_grid(done[p.key], loaded, p.dtype) for p in self.bundle.products}
        affine = None if loaded.image is None else loaded.image.affine
        return Prediction(maps, self.bundle.labels, affine, chances)

    def _previous_stage(self, folds: str | Sequence[int] | None) -> Predictor | None:
        """What makes a further input of a cascade."""
        folder = self.bundle.previous_stage
        if folder is None:
            return None
        if not folder.is_dir():
            raise UserError(
                f"{self.bundle.name} is a cascade, but {folder}, the bundle of its previous stage, does not exist: put "
                f"it there, or give its folder with --override \"{{'previous_stage': 'FOLDER'}}\""
            )
        before = InferenceBundle(folder, self.bundle.override_of_previous_stage)
        if folds is None and trained_folds(Path(before.get("ckpt_dir"))):
            folds = "all"
        return Predictor(before, device=str(self.device), tta=self.tta, amp=self.amp, folds=folds)

    def _loaded(self, key: str, case: Case, loaded: Loaded) -> dict[str, Any]:
        """The image as the preprocessing begins with it, for a cascade with the label map of the previous stage."""
        first, name = self.preprocessing.transforms[0], [str(case.files[0])]
        if self.previous is None:
            return first({key: name}, loaded.reader)
        labels = self.previous.segment(case, loaded).labels
        with allow_missing_keys_mode(first):
            item = first({key: name}, loaded.reader)
            return first({PREVIOUS: name}, Given(label_image(labels, loaded.image))) | item

    def _axes(self) -> list[int]:
        return list(range(len(self.bundle.takes["spatial_shape"])))

    def _probabilities(self, key: str, image: MetaTensor, logits: Tensor, loaded: Loaded) -> np.ndarray:
        back = Invertd(keys="pred", transform=self.preprocessing, orig_keys=key, nearest_interp=False, to_tensor=True)
        # The last channel marks where the network saw the image: what was cropped away is background.
        seen = torch.cat([logits.float(), torch.ones_like(logits[:1]).float()])
        returned = back({key: image, "pred": MetaTensor(seen)})["pred"]
        _check_grid(returned, loaded)
        *outputs, inside = returned.as_tensor().cpu().split(1)
        regions = self.bundle.takes_regions
        chances = torch.cat(outputs).sigmoid() if regions else torch.cat(outputs).softmax(0)
        outside = inside < 0.5
        chances[outside.expand_as(chances)] = 0.0
        if not regions:
            chances[:1][outside] = 1.0
        return np.stack([_turned(channel, loaded) for channel in chances.numpy()])


def checked_device(device: str) -> torch.device:
    """The device of this name.

    Raises:
        UserError: if it is no device of this machine.
    """
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"--device {device!r} is not known: give cpu, cuda or cuda:1") from error
    if wanted.type not in ("cpu", "cuda"):
        raise UserError(f"--device {device!r} is not supported: give cpu, cuda or cuda:1")
    count = torch.cuda.device_count()
    if wanted.type == "cuda" and (wanted.index or 0) >= count:
        found = f"there are {count} CUDA devices" if count else "PyTorch finds no CUDA device"
        raise UserError(f"--device {device}: {found}; give --device cpu")
    return wanted


def _on_grid(labels: Tensor, loaded: Loaded, dtype: str) -> np.ndarray:
    array = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    _check_grid(labels, loaded)
    array = _turned(array[0], loaded)
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    if limits and array.size and (array.min() < limits.min or array.max() > limits.max):
        raise UserError(f"labels up to {array.max():g} do not fit into {dtype}")
    return array.astype(dtype)


def _check_grid(found: Tensor, loaded: Loaded) -> None:
    """Raise UserError unless a map, channels first, lies on its image; pictures have no place."""
    if loaded.image is not None and isinstance(found, MetaTensor):
        try:
            check_same_grid(found.shape[1:], found.affine.cpu().numpy(), loaded.shape, loaded.image.affine)
        except ValueError as error:
            raise UserError(str(error)) from error


def _turned(array: np.ndarray, loaded: Loaded) -> np.ndarray:
    """MONAI's array on the grid of the file: pictures are width × height in MONAI, and turned as they are displayed."""
    array = array if loaded.image is not None else stored(array.T, loaded.orientation)
    if array.shape != loaded.shape:
        raise UserError(
            f"the prediction has shape {array.shape}, but the image {loaded.shape}: check the postprocessing"
        )
    return np.ascontiguousarray(array)
