"""Regions and ignored voxels: nnU-Net's losses, measured by ``benchmarks.nnunet.losses``, and what must not count."""

import json
from pathlib import Path

import pytest
import torch
from monai.losses import DeepSupervisionLoss

from benchmarks.nnunet.losses import IGNORED, REGIONS, fingerprint, tensors
from components.losses import IgnoringDiceCELoss, RegionDiceBCELoss

MEASURED = json.loads((Path(__file__).parent / "nnunet.json").read_text())


def loss_of(kind, batch=False, ignored=True):
    if kind == "regions":
        return RegionDiceBCELoss(REGIONS, IGNORED if ignored else None, batch=batch)
    return IgnoringDiceCELoss(IGNORED, include_background=False, batch=batch)


def test_nnunet():
    for case in MEASURED:
        logits, labels = tensors(case)
        logits.requires_grad_()
        found = loss_of(case["kind"], case["batch"], case["ignored"])(logits, labels)
        found.backward()
        # MONAI's Dice loss is 1 - Dice, nnU-Net's is -Dice.
        assert found.item() - 1 == pytest.approx(case["loss"], abs=1e-6), case
        assert fingerprint(logits.grad) == pytest.approx(case["gradient"], abs=2e-6), case


@pytest.mark.parametrize("kind", ["classes", "regions"])
@pytest.mark.parametrize("batch", [False, True])
def test_ignored_slices_are_as_if_they_were_not_there(kind, batch):
    logits, labels = (t.double() for t in tensors({"kind": kind, "shape": [8, 6, 6], "ignored": False}))
    half = labels.clone()
    half[:, :, ::2] = IGNORED
    whole, kept = logits.clone().requires_grad_(), logits[:, :, 1::2].clone().requires_grad_()
    a, b = loss_of(kind, batch)(whole, half), loss_of(kind, batch)(kept, labels[:, :, 1::2])
    a.backward(), b.backward()
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(whole.grad[:, :, 1::2], kept.grad)
    assert not whole.grad[:, :, ::2].any()


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_nothing_to_learn_is_no_nan(kind):
    logits, labels = tensors({"kind": kind, "shape": [4, 4], "ignored": False})
    logits.requires_grad_()
    levels = [logits, logits[..., ::2, ::2]]
    found = DeepSupervisionLoss(loss_of(kind), weights=[0.7, 0.3])(levels, torch.full_like(labels, IGNORED))
    found.backward()
    assert found.item() == pytest.approx(0, abs=1e-6)
    assert not logits.grad.any()


@pytest.mark.parametrize(
    ("regions", "told"),
    [([], "must be lists"), ([[1], []], "must be lists"), ([[0, 1]], "background"), ([[4]], "ignored")],
)
def test_regions_that_cannot_be(regions, told):
    with pytest.raises(ValueError, match=told):
        RegionDiceBCELoss(regions, ignore_label=IGNORED)
