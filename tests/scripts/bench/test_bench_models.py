"""The networks that are measured."""

import pytest
import torch
from torch import nn

from components.networks import XLSTMUNet
from scripts.bench.models import BOT, ENC, MODES, MSVM, Subject, build, plan, run
from scripts.bench.session import Settings

QUICK = Settings(repeats=2, quick=True)


def test_full_plans_are_those_of_the_recipes():
    # Parameters as published for the plans of the bundles.
    with torch.device("meta"):
        count = {name: sum(p.numel() for p in build(name, plan("mri")).parameters()) / 1e6 for name in (BOT, ENC)}
        slices = sum(p.numel() for p in build(MSVM, plan("slices")).parameters()) / 1e6
    assert count[BOT] == pytest.approx(41.91, abs=0.01)
    assert count[ENC] == pytest.approx(43.73, abs=0.01)
    assert slices == pytest.approx(35.93, abs=0.01)
    assert plan("mri").patch_size == (48, 160, 224)
    assert plan("slices").patch_size == (224, 224)


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode):
    found = plan("mri", quick=True)
    network = build(BOT, found, use_checkpoint="use_checkpoint" in mode)
    before = [p.detach().clone() for p in network.parameters()]
    dtypes = []
    network.heads[-1].register_forward_hook(lambda module, args, y: dtypes.append(y.dtype))
    run(network, torch.randn(found.input(1)), mode)()
    moved = any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert moved == mode.startswith("training")
    assert network.training == mode.startswith("training")
    assert dtypes == [torch.bfloat16 if "bfloat16" in mode else torch.float32]
    assert isinstance(network, XLSTMUNet)
    assert network.use_checkpoint == ("use_checkpoint" in mode)


def test_same_seed_gives_the_same_network():
    first, again = (Subject(MSVM, "slices").run(QUICK, "inference")() for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: plan("slice"), "did you mean 'slices'"),
        (lambda: build("MSVM-UNett", plan("slices")), "did you mean 'MSVM-UNet'"),
        (lambda: run(nn.Identity(), torch.zeros(1), "infer"), "did you mean 'inference'"),
    ],
)
def test_wrong_names(call, told):
    with pytest.raises(ValueError, match=told):
        call()
