"""Weights that are there and fit, or a run that ends."""

import logging

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from components.engines import Evaluator
from components.handlers import StrictCheckpointLoader, weight_files


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


def outputs(load_path, target, **options):
    """What an evaluator answers with weights from these files."""
    found = []
    evaluator = Evaluator(
        device=torch.device("cpu"),
        network=target,
        val_data_loader=[{"image": torch.arange(9.0).reshape(3, 3)}],
        val_handlers=[StrictCheckpointLoader(load_path, target, **options)],
        decollate=False,
    )
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda e: found.append(e.state.output["pred"]))
    evaluator.run()
    evaluator.run()  # the second run goes on with the same weights
    assert torch.equal(*found)
    return found[0]


def test_several_files_are_averaged(tmp_path):
    paths, members = [str(tmp_path / f"{n}.pt") for n in range(3)], [network() for _ in range(3)]
    for path, member in zip(paths, members, strict=True):
        torch.save(member.state_dict(), path)
    single = [outputs(path, network()) for path in paths]
    assert torch.equal(outputs(paths[:1], network()), single[0])
    mean = torch.stack([logits.softmax(1) for logits in single]).mean(0)
    torch.testing.assert_close(outputs(paths, network()).softmax(1), mean)
    mean = torch.stack([logits.sigmoid() for logits in single]).mean(0)
    torch.testing.assert_close(outputs(paths, network(), sigmoid=True).sigmoid(), mean)


def test_each_of_several_files_is_checked(tmp_path):
    torch.save(network().state_dict(), tmp_path / "0.pt")
    torch.save(network(5).state_dict(), tmp_path / "1.pt")
    with pytest.raises(ValueError, match=r"1\.pt does not fit"):
        outputs([str(tmp_path / "0.pt"), str(tmp_path / "1.pt")], network())


def test_files_of_weights(tmp_path):
    for number in (0, 2, 10):
        (tmp_path / f"fold_{number}").mkdir()
        (tmp_path / f"fold_{number}" / "model.pt").touch()

    def fold(number):
        return (tmp_path / f"fold_{number}" / "model.pt").as_posix()

    (tmp_path / "fold_0_before").mkdir()
    (tmp_path / "fold_0_before" / "model.pt").touch()
    (tmp_path / "a,b.pt").touch()
    assert weight_files(tmp_path) == [(tmp_path / "model.pt").as_posix()]
    assert weight_files(tmp_path, weights="a.pt, b.pt") == weight_files(tmp_path, weights=("a.pt", "b.pt"))
    assert weight_files(tmp_path, weights=str(tmp_path / "a,b.pt")) == [str(tmp_path / "a,b.pt")]
    assert weight_files(tmp_path, folds="all") == [fold(0), fold(2), fold(10)]
    assert weight_files(tmp_path, folds=(2, 0)) == weight_files(tmp_path, folds="2,0") == [fold(2), fold(0)]
    assert weight_files(tmp_path, folds=2) == [fold(2)]
    with pytest.raises(FileNotFoundError, match="has no weights of fold 9: it has those of 0, 2, 10"):
        weight_files(tmp_path, folds="0,9")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"weights": "a.pt", "folds": "all"}, "not both"),
        ({"folds": "some"}, "all or numbers such as 0,2 are needed"),
        ({"folds": "0,2,0"}, "each number can be given only once"),
        ({"folds": "all"}, "has no folds"),
        ({"folds": "all", "fold": 1}, "the networks of the other folds were trained on the cases of this fold"),
    ],
)
def test_wrong_choices_of_weights(given, told, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        weight_files(tmp_path, **given)
