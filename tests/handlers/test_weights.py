"""Weights that are there and fit, or a run that ends."""

import logging

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from components.handlers import StrictCheckpointLoader


def network(width=4):
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def start(path, target, **options):
    engine = Engine(lambda engine, batch: None)
    StrictCheckpointLoader(str(path), target, **options).attach(engine)
    engine.run([0])


@pytest.mark.parametrize("holder", [None, "network", "model", "state_dict"])
def test_weights_and_states_are_loaded(holder, tmp_path):
    given, target = network(), network()
    state = given.state_dict() if holder is None else {"epoch": 3, holder: given.state_dict()}
    torch.save(state, tmp_path / "model.pt")
    start(tmp_path / "model.pt", target)
    for name, value in target.state_dict().items():
        assert torch.equal(value, given.state_dict()[name])


def changed(**tensors):
    state = network().state_dict() | tensors
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (network(5).state_dict(), r"7 tensors of another shape, first 0\.weight \(5, 3\) instead of \(4, 3\), 0\.bias"),
        (changed(**{"2.bias": None}), r"1 tensors missing, first 2\.bias; a published .* `scanseg weights convert"),
        (changed(more=torch.ones(1)), r"1 tensors not known, first more; it is of another network"),
        (changed(**{"2.bias": torch.tensor([1.0, float("nan")])}), r"NaN or infinite in 2\.bias"),
        ({"epoch": 3}, "holds no weights"),
        ([1, 2], "holds no weights"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(content, told, tmp_path):
    torch.save(content, tmp_path / "model.pt")
    target = network()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(ValueError, match=rf"model\.pt .*{told}") as caught:
        start(tmp_path / "model.pt", target)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_missing_weights_are_an_error_with_the_ways_to_get_some(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*model\.pt: train .* weights convert`.* zoo fetch`"):
        start(tmp_path / "model.pt", network())


def test_random_weights_are_said_to_be_random(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        start(tmp_path / "model.pt", network(), random_weights=True)
    assert "the weights are random" in caplog.text


def test_a_payload_does_not_run(tmp_path):
    mark = tmp_path / "mark"

    class Payload:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    torch.save({"network": Payload()}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"cannot read the checkpoint .*model\.pt: it holds"):
        start(tmp_path / "model.pt", network())
    assert not mark.exists()
