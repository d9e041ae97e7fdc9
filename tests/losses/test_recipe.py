"""That the losses of the xLSTM bundles' configurations are those of nnU-Net, written out here."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from monai.bundle import ConfigParser

BUNDLES = Path(__file__).parents[2] / "bundles"
BATCH_DICE = {"xlstm_endoscopy": True, "xlstm_cells": True, "xlstm_abdomen_mri_3d": False}
SHAPES = {2: (16, 24), 3: (8, 16, 12)}


def config(bundle):
    return json.loads((BUNDLES / bundle / "configs" / "train.json").read_text())["loss"]


def criterion(bundle):
    return ConfigParser({"loss": config(bundle)}).get_parsed_content("loss")


def example(dims, channels=4, batch=3, scale=1):
    generator = torch.Generator().manual_seed(0)
    shape = [n * scale for n in SHAPES[dims]]
    logits = torch.randn(batch, channels, *shape, generator=generator)
    target = torch.randint(0, channels - 1, (batch, 1, *shape), generator=generator)  # one class is absent
    target[0] = 0
    return logits.requires_grad_(), target


def written_out(logits, target, batch):
    """Cross-entropy of all classes, and 1 − soft Dice of the classes from 1 on: no squares, smoothing 1e-5."""
    probabilities = logits.double().softmax(1)
    truth = F.one_hot(target[:, 0], logits.shape[1]).movedim(-1, 1).double()
    cross_entropy = -(truth * probabilities.log()).sum(1).mean()
    axes = ([0] if batch else []) + list(range(2, logits.ndim))
    intersection = (probabilities * truth).sum(axes)
    dice = (2 * intersection + 1e-5) / (probabilities.sum(axes) + truth.sum(axes) + 1e-5)
    return cross_entropy + 1 - dice[..., 1:].mean()


@pytest.mark.parametrize("bundle", BATCH_DICE)
def test_value_and_gradient(bundle):
    """At a network's only output, as in evaluation."""
    logits, target = example(2 if BATCH_DICE[bundle] else 3)
    loss = criterion(bundle)(logits, target)
    expected = written_out(logits, target, BATCH_DICE[bundle])
    torch.testing.assert_close(loss.double(), expected, atol=1e-6, rtol=0)
    ours, theirs = (torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (loss, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=1e-4)
    other = written_out(logits, target, not BATCH_DICE[bundle])
    assert abs(loss - other) > 0.01  # Dice over the batch is not Dice of each sample


@pytest.mark.parametrize(
    ("bundle", "stages"), [("xlstm_abdomen_mri_3d", 6), ("xlstm_endoscopy", 7), ("xlstm_cells", 8)]
)
def test_deep_supervision(bundle, stages):
    """Weights are halved from one output to the next, the coarsest is left out, and their sum is 1."""
    halves = [0.5**i for i in range(stages - 2)] + [0.0]
    weights = [w / sum(halves) for w in halves]
    assert config(bundle)["weights"] == pytest.approx(weights, abs=1e-6)
    logits, target = example(2, scale=4)
    levels = [F.avg_pool2d(logits, 2**i, ceil_mode=True) for i in range(stages - 1)]
    loss = criterion(bundle)(levels, target.float())  # labels are resized, which torch does with floats only
    small = [F.interpolate(target.float(), level.shape[2:], mode="nearest-exact").long() for level in levels]
    expected = sum(
        w * written_out(level, t, BATCH_DICE[bundle]) for w, level, t in zip(weights, levels, small, strict=True)
    )
    torch.testing.assert_close(loss.double(), expected, atol=1e-5, rtol=0)
