"""The networks that are compared take the same images and give the same classes."""

import pytest
import torch
from torch import nn

from components.networks import XLSTMUNet
from scripts.bench.bars import share_inside
from scripts.bench.models import BOT, ENC, MODES, MSVM, PEERS, build, plan, prepare, run
from scripts.bench.session import Session, Settings

QUICK = Settings(repeats=2, quick=True)


@pytest.mark.parametrize(
    ("name", "plan_name"),
    [
        *((name, "slices") for name in (MSVM, *PEERS)),
        *((name, "mri") for name in (BOT, ENC, "DynUNet", "SegResNet", "UNETR")),
        *((name, "endoscopy") for name in (BOT, ENC, *PEERS)),
    ],
)
def test_all_give_logits_of_the_size_of_the_input(name, plan_name):
    found = plan(plan_name, quick=True)
    logits = prepare(name, plan_name, "inference", 1, None, QUICK)()
    assert logits.shape == (1, found.out_channels, *found.patch_size)


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
    first, again = (prepare(MSVM, "slices", "inference", 1, None, QUICK)() for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: plan("slice"), "did you mean 'slices'"),
        (lambda: build("SwinUNTER", plan("slices")), "did you mean 'SwinUNETR'"),
        (lambda: run(nn.Identity(), torch.zeros(1), "infer"), "did you mean 'inference'"),
    ],
)
def test_wrong_names(call, told):
    with pytest.raises(ValueError, match=told):
        call()


def test_share_counts_the_layers_of_a_kind_only(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, 1))
    session = Session(QUICK, tmp_path)
    found = share_inside(network, nn.Conv2d, torch.zeros(1, 1, 4, 4), session)
    assert len(found["seconds"]) == len(found["part_seconds"]) == 2
    assert all(0 < part <= total for part, total in zip(found["part_seconds"], found["seconds"], strict=True))
    none = share_inside(nn.Sequential(nn.ReLU()), nn.Conv2d, torch.zeros(1), session)
    assert none["part_seconds"] == [0.0, 0.0]
