"""Measure nnU-Net's losses on tensors of a formula: ``PYTHON -m benchmarks.nnunet.losses > tests/losses/nnunet.json``.

PYTHON is that of an environment with nnunetv2, which ``benchmarks/nnunet/environment.sh`` makes.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any

import torch

REGIONS = [[1, 2, 3], [2, 3], [3]]
IGNORED = 4


def cases() -> Iterator[dict[str, Any]]:
    """Kinds of losses: of classes or regions, over each item or the batch, with and without ignored voxels."""
    names = ("shape", "batch", "ignored", "kind")
    for values in itertools.product(([6, 5], [4, 3, 5]), (False, True), (False, True), ("classes", "regions")):
        yield dict(zip(names, values, strict=True))


def tensors(case: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2 × 4 classes or 3 regions × shape) and labels 0 … 3 and :data:`IGNORED` (2 × 1 × shape)."""
    channels, voxels = 4 if case["kind"] == "classes" else len(REGIONS), math.prod(case["shape"])
    n = torch.arange(2 * channels * voxels, dtype=torch.float64)
    logits = 3 * torch.sin(1.7 * n + 0.3 * n**0.5)
    m = torch.arange(2 * voxels, dtype=torch.float64)
    labels = torch.floor(2 + 2 * torch.sin(0.37 * m + 1)).clamp(max=3)
    if case["ignored"]:
        labels = torch.where(torch.cos(0.11 * m) > 0.2, labels, IGNORED)
    return logits.float().reshape(2, channels, *case["shape"]), labels.float().reshape(2, 1, *case["shape"])


def fingerprint(gradient: torch.Tensor) -> list[float]:
    """Sum of the magnitudes, and a sum in which every element has a weight of its own."""
    flat = gradient.double().flatten()
    return [flat.abs().sum().item(), (flat * torch.cos(torch.arange(len(flat)).double())).sum().item()]


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Loss and gradient as nnU-Net's trainer has them."""
    from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

    logits, labels = tensors(case)
    logits.requires_grad_()
    dice = {"batch_dice": case["batch"], "smooth": 1e-5, "ddp": False}
    kind = {"dice_class": MemoryEfficientSoftDiceLoss}
    if case["kind"] == "classes":
        ignore = IGNORED if case["ignored"] else None
        found = DC_and_CE_loss({**dice, "do_bg": False}, {}, ignore_label=ignore, **kind)(logits, labels.long())
    else:
        masks = [torch.isin(labels, labels.new_tensor(region)) for region in REGIONS]
        target = torch.cat([*masks, labels == IGNORED] if case["ignored"] else masks, 1)
        found = DC_and_BCE_loss({}, {**dice, "do_bg": True}, use_ignore_label=case["ignored"], **kind)(logits, target)
    found.backward()
    return {**case, "loss": found.item(), "gradient": fingerprint(logits.grad)}


if __name__ == "__main__":
    print(json.dumps([measure(case) for case in cases()], indent=1))
