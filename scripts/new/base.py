"""The bundle that a new one is derived from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.files import read_json

from ..bundle.find import ROOT, bundles_in, find_bundle
from ..errors import UserError
from .topology import rule_of_features

RECIPES = (
    "train.json", "evaluate.json", "inference*.json", "adamw.json", "multi_gpu_*.json", "tracking.json",
    "tensorboard.json",
)  # fmt: skip
"""Configs that are derived; others show something on a sample, and metadata.json is written anew."""


@dataclass(frozen=True)
class Base:
    """A bundle to derive from.

    Args:
        folder: its folder.
        network: "xlstm" or "msvm".
        spatial_dims: axes of the images that it reads: 2 for pictures, 3 for volumes.
        instances: whether it learns the interior and the boundary of objects.
        variant: of xLSTM-UNet; empty for MSVM-UNet.
        configs: content of its configs by file name, see :data:`RECIPES`.
    """

    folder: Path
    network: str
    spatial_dims: int
    instances: bool
    variant: str
    configs: dict[str, dict[str, Any]]

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of its stages where they are not those of nnU-Net's rules, for the new bundle.

        A new bundle with these features can start from the weights of this one.
        """
        network = self.configs["train.json"]["network_def"]
        features = tuple(network.get("features", ()))
        by_rule = rule_of_features(network.get("spatial_dims", 2), len(features))
        return () if features == by_rule else features

    @property
    def weights(self) -> Path | None:
        """File of its weights; None where it has none."""
        path = self.folder / "models" / "model.pt"
        return path if path.is_file() else None


def find_base(name: str) -> Base:
    """Find a bundle by name or by its folder.

    Raises:
        UserError: if there is none, or it is not one of MSVM-UNet or xLSTM-UNet.
    """
    return _read(find_bundle(name, "train.json", "--from"))


def fitting(base: Base, spatial_dims: int) -> tuple[Base, Base | None, str]:
    """The bundle of the same network for images of this kind.

    Args:
        base: the bundle that the user named.
        spatial_dims: 2 for pictures, 3 for volumes.

    Returns:
        The bundle to derive from; for MSVM-UNet and pictures another one, whose way of loading pictures is taken; and a
        note where it is another than the user named.

    Raises:
        UserError: if there is none beside the one that was named.
    """
    if base.spatial_dims == spatial_dims:
        return base, None, ""
    kind = "pictures" if spatial_dims == 2 else "volumes"
    near = [*bundles_in(base.folder.parent, "train.json"), *bundles_in(ROOT / "bundles", "train.json")]
    others = (_read(path) for path in near)
    found = next(
        (b for b in others if b.network == "xlstm" and b.spatial_dims == spatial_dims and not b.instances), None
    )
    if found is None:
        raise UserError(f"{base.folder} does not read {kind}, and there is no xlstm bundle beside it that does")
    if base.network == "msvm":
        return base, found, f"{base.folder.name} is for volumes: pictures are loaded as {found.folder.name} does"
    return found, None, f"{base.folder.name} is not for {kind}: derived from {found.folder.name}, of the same network"


def _read(folder: Path) -> Base:
    paths = {path for pattern in RECIPES for path in (folder / "configs").glob(pattern)}
    configs = {path.name: read_json(path) for path in sorted(paths)}
    train = configs["train.json"]
    target = str(train.get("network_def", {}).get("_target_", ""))
    networks = {"MSVMUNet": "msvm", "XLSTMUNet": "xlstm"}
    network = networks.get(target.rpartition(".")[2])
    if network is None:
        raise UserError(
            f"{folder} has the network {target or 'of an unknown kind'}: start from a bundle of MSVM-UNet or xLSTM-UNet"
        )
    if train["network_def"].get("spatial_dims") == 2 and "PILReader" not in str(configs):
        raise UserError(f"{folder} is the 2D network of volumes: start from a bundle in 3D, with --configuration 2d")
    if "previous_stage" in train:
        raise UserError(f"{folder} is a cascade: start from the bundle that it was made from, with --configuration all")
    text = str(configs)
    return Base(
        folder,
        network,
        2 if "PILReader" in text else 3,
        "InteriorToInstancesd" in text,
        str(train.get("variant", "")),
        configs,
    )
