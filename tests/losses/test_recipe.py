"""That MONAI's losses, with a configuration's arguments, are those of nnU-Net, written out here."""

import pytest
import torch
import torch.nn.functional as F
from monai.bundle import ConfigParser

SHAPES = {2: (16, 24), 3: (8, 16, 12)}


def criterion(batch, weights=None):
    dice_ce = {
        "_target_": "DiceCELoss",
        "include_background": False,
        "to_onehot_y": True,
        "softmax": True,
        "smooth_nr": 1e-05,
        "smooth_dr": 1e-05,
        "batch": batch,
    }
    if weights is None:
        return ConfigParser({"loss": dice_ce}).get_parsed_content("loss")
    config = {"_target_": "DeepSupervisionLoss", "loss": dice_ce, "weights": weights}
    return ConfigParser({"loss": config}).get_parsed_content("loss")


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


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("batch", [True, False])
def test_value_and_gradient(dims, batch):
    logits, target = example(dims)
    loss = criterion(batch)(logits, target)
    expected = written_out(logits, target, batch)
    torch.testing.assert_close(loss.double(), expected, atol=1e-6, rtol=0)
    ours, theirs = (torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (loss, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=1e-4)


def test_dice_over_the_batch_is_not_dice_per_sample():
    logits, target = example(2)
    assert abs(criterion(True)(logits, target) - criterion(False)(logits, target)) > 0.01


@pytest.mark.parametrize("outputs", [5, 6, 7])
def test_weights_of_deep_supervision(outputs):
    """Outputs of 6, 7 and 8 stages: halved from one to the next, the coarsest left out, of sum 1."""
    halves = [0.5**i for i in range(outputs - 1)] + [0.0]
    weights = [w / sum(halves) for w in halves]
    assert weights[0] == 2 ** (outputs - 2) / (2 ** (outputs - 1) - 1)  # as a configuration writes it: 8/15 and so on
    logits, target = example(2, scale=4)
    levels = [F.avg_pool2d(logits, 2**i, ceil_mode=True) for i in range(outputs)]
    loss = criterion(True, weights)(levels, target.float())  # labels are resized, which torch does with floats only
    small = [F.interpolate(target.float(), level.shape[2:], mode="nearest-exact").long() for level in levels]
    expected = sum(w * written_out(lv, t, True) for w, lv, t in zip(weights, levels, small, strict=True))
    torch.testing.assert_close(loss.double(), expected, atol=1e-5, rtol=0)


def test_one_output_in_evaluation():
    logits, target = example(3)
    weights = [8 / 15, 4 / 15, 2 / 15, 1 / 15, 0]
    assert torch.equal(criterion(False, weights)(logits, target), criterion(False)(logits, target))
