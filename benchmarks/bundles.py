"""The five bundles as they are measured: how small their data and trainings are made, and what stands beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from scripts.bench.bundle import short_training
from scripts.bench.bundles import config
from scripts.bench.models import BOT, ENC, MSVM, NetworkPlan, of_bundle
from scripts.bench.session import Settings

from .peers import build


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
    "xlstm_hippocampus_mri_3d": Recipe("DynUNet", 2, *_tiny([16, 16, 16], 4, pixdim=[2.0, 2.0, 2.0])),
    "xlstm_nuclei": Recipe("DynUNet", 4, *_tiny([128, 128], 6)),
}


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
    return {
        **short_training(content, settings, iterations),
        "batch_size": min(settings.size(recipe.batch, 2), content["batch_size"]),
        **({"epoch_length": 3} if settings.quick else {}),
        **overrides(bundle, settings),
        **(recipe.tiny_training if settings.quick else {}),
    }


def own_network(bundle: str) -> str:
    """Name of the network of a bundle, as in :data:`scripts.bench.models.NETWORKS`."""
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
