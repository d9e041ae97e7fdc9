"""What a training's clock counts."""

import pytest
from ignite.engine import Engine

from components.validation import check_choice
from scripts.bench import training
from scripts.bench.bundles import RECIPES, config, own_network, training_overrides
from scripts.bench.session import Session, Settings


def test_waiting_and_computing_are_told_apart(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(training.time, "perf_counter", lambda: now[0])

    def data():
        for _ in range(3):
            now[0] += 2.0  # a batch takes so long to come
            yield 1

    def step(engine, batch):
        now[0] += 5.0

    engine = Engine(step)
    clock = training.Clock(engine)
    engine.run(data(), epoch_length=3)
    assert clock.waits[:3] == [2.0, 2.0, 2.0]
    assert clock.steps == [5.0, 5.0, 5.0]
    assert len(clock.memory) == 3


@pytest.mark.parametrize("bundle", RECIPES)
@pytest.mark.parametrize("quick", [False, True])
def test_overrides_are_in_the_config(bundle, quick):
    _, content = config(bundle)
    values = training_overrides(bundle, Settings(quick=quick), 10)
    for key in values:
        check_choice("override", key.partition("#")[0], content)
    assert values["batch_size"] <= content["batch_size"]
    assert ("epoch_length" in values) == (quick or content["epoch_length"] is not None)


def test_nested_overrides_leave_the_rest(tmp_path):
    _, before = config("xlstm_cells")
    _, after = config("xlstm_cells", {"network_def#features": [8], "batch_size": 1})
    assert after["network_def"] == {**before["network_def"], "features": [8]}
    assert config("xlstm_cells")[1] == before


def test_networks_of_the_bundles():
    assert {bundle: own_network(bundle) for bundle in RECIPES} == {
        "msvm_synapse": "MSVM-UNet",
        "msvm_acdc": "MSVM-UNet",
        "xlstm_abdomen_mri_3d": "xLSTM-UNet Bot",
        "xlstm_endoscopy": "xLSTM-UNet Enc",
        "xlstm_cells": "xLSTM-UNet Enc",
    }


def test_training_that_does_not_fit_is_not_started(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "bundle_gib", lambda *_: 10_000.0)
    monkeypatch.setattr(training, "in_child", None)
    (found,) = training.measure_epoch("msvm_acdc", Session(Settings(), tmp_path))
    assert found["failed"].startswith("about 10000.0 GiB are needed; ")
