"""The five bundles as they are measured: how small their data and trainings are made, and what stands beside them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from ..bundle.find import find_bundle
from ..data.dataset import read_json
from .models import BOT, ENC, MSVM, NetworkPlan, build, of_bundle
from .session import Settings


@dataclass(frozen=True)
class Recipe:
    """How a bundle is measured.

    Args:
        peer: MONAI's network that takes the place of its own.
        batch: of the measured trainings: small, as waiting for data and computing both grow with it.
        tiny: overrides of a quick measurement.
        tiny_training: more of them for trainings.
    """

    peer: str
    batch: int
    tiny: Mapping[str, Any]
    tiny_training: Mapping[str, Any] = field(default_factory=dict)


def _tiny(patch: list[int], stages: int, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"patch_size": patch, "network_def#features": [8] * stages, **more}, {"augmented_size": patch}


_TINY_SLICES = {
    "roi_size": [64, 64],
    "network_def#features": [8, 16, 32, 64],
    "network_def#depths": [1, 1, 1, 1],
}
RECIPES: dict[str, Recipe] = {
    "msvm_synapse": Recipe("SwinUNETR", 4, _TINY_SLICES),
    "msvm_acdc": Recipe("SwinUNETR", 4, _TINY_SLICES),
    "xlstm_abdomen_mri_3d": Recipe("DynUNet", 1, *_tiny([16, 64, 64], 6, pixdim=[12.0, 8.0, 8.0])),
    "xlstm_endoscopy": Recipe("DynUNet", 2, *_tiny([384, 640], 7)),
    "xlstm_cells": Recipe("DynUNet", 2, *_tiny([256, 256], 8)),
}


def config(bundle: str, values: Mapping[str, Any] | None = None) -> tuple[Path, dict[str, Any]]:
    """Folder of a bundle and its train.json.

    Args:
        bundle: its name.
        values: overrides by id, nested ones with ``#``.
    """
    root = find_bundle(bundle)
    content = copy.deepcopy(read_json(root / "configs" / "train.json"))
    for key, value in (values or {}).items():
        *path, last = key.split("#")
        place = content
        for part in path:
            place = place[part]
        place[last] = value
    return root, content


def overrides(bundle: str, settings: Settings) -> dict[str, Any]:
    """Overrides of any config of a bundle."""
    return dict(RECIPES[bundle].tiny) if settings.quick else {}


def training_overrides(bundle: str, settings: Settings, iterations: int) -> dict[str, Any]:
    """Overrides of train.json for a short training.

    Args:
        bundle: its name.
        settings: how to measure.
        iterations: of the epoch, where the recipe draws as many as one asks for; for MSVM-UNet an epoch is all slices.
    """
    recipe, (_, content) = RECIPES[bundle], config(bundle)
    counted = content["epoch_length"] is not None or settings.quick
    return {
        "max_epochs": 1,
        "batch_size": min(settings.size(recipe.batch, 2), content["batch_size"]),
        **({"epoch_length": settings.size(iterations, 3)} if counted else {}),
        **overrides(bundle, settings),
        **(recipe.tiny_training if settings.quick else {}),
        "seed": settings.seed,
        "device": f"$torch.device('{settings.device}')",
        "amp": settings.device == "cuda" and content["amp"] is not False,
    }


def own_network(bundle: str) -> str:
    """Name of the network of a bundle, as in :data:`scripts.bench.models.OURS`."""
    _, content = config(bundle)
    return {"bot": BOT, "enc": ENC}.get(content.get("variant", ""), MSVM)


def peer(bundle: str, settings: Settings) -> nn.Module:
    """MONAI's network with the channels, the input size and, if it takes one, the plan of a bundle."""
    recipe, (_, content) = RECIPES[bundle], config(bundle, overrides(bundle, settings))
    if "roi_size" in content:
        plan = NetworkPlan(1, len(content["class_names"]) + 1, tuple(content["roi_size"]), (), (), (), settings.quick)
    else:
        plan = of_bundle(content)
    return build(recipe.peer, plan).to(settings.device).eval()
