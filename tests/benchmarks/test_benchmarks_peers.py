"""The networks that are compared take the same images and give the same classes."""

import pytest
import torch
from torch import nn

from benchmarks.bundles import RECIPES, own_network, training_overrides
from benchmarks.networks import share_inside
from benchmarks.peers import PEERS, build
from components.validation import check_choice
from scripts.bench.bundles import config
from scripts.bench.models import BOT, ENC, MSVM, Subject, plan
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
    logits = Subject(name, plan_name, build=build).run(QUICK, "inference")()
    assert logits.shape == (1, found.out_channels, *found.patch_size)


def test_share_counts_the_layers_of_a_kind_only(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, 1))
    session = Session(QUICK, tmp_path)
    found = share_inside(network, nn.Conv2d, torch.zeros(1, 1, 4, 4), session)
    assert len(found["seconds"]) == len(found["part_seconds"]) == 2
    assert all(0 < part <= total for part, total in zip(found["part_seconds"], found["seconds"], strict=True))
    none = share_inside(nn.Sequential(nn.ReLU()), nn.Conv2d, torch.zeros(1), session)
    assert none["part_seconds"] == [0.0, 0.0]


@pytest.mark.parametrize("bundle", RECIPES)
@pytest.mark.parametrize("quick", [False, True])
def test_overrides_are_in_the_config(bundle, quick):
    _, content = config(bundle)
    values = training_overrides(bundle, Settings(quick=quick), 10)
    for key in values:
        check_choice("override", key.partition("#")[0], content)
    assert values["batch_size"] <= content["batch_size"]
    assert ("epoch_length" in values) == (quick or content["epoch_length"] is not None)


def test_networks_of_the_bundles():
    assert {bundle: own_network(bundle) for bundle in RECIPES} == {
        "msvm_synapse": "MSVM-UNet",
        "msvm_acdc": "MSVM-UNet",
        "xlstm_abdomen_mri_3d": "xLSTM-UNet Bot",
        "xlstm_endoscopy": "xLSTM-UNet Enc",
        "xlstm_cells": "xLSTM-UNet Enc",
        "xlstm_hippocampus_mri_3d": "xLSTM-UNet Bot",
        "xlstm_nuclei": "xLSTM-UNet Bot",
    }
