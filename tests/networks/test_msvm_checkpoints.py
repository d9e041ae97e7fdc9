"""Checkpoints of MSVM-UNet in every form in which its authors or users keep them."""

import numpy as np
import pytest
import torch

from components.networks import load_published
from tests.golden import GoldenCase


@pytest.fixture(scope="module")
def case():
    return GoldenCase("msvm_unet_9classes")


@pytest.fixture(scope="module")
def network(case):
    """Loaded once; the tests leave its values as they are."""
    network = case.network()
    load_published(network, case.state)
    return network


def lightning(state):
    """What the authors' training writes: names with a prefix, and scores as NumPy numbers beside them."""
    return {
        "epoch": 259,
        "global_step": 35880,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": {f"_model.{name}": tensor for name, tensor in state.items()},
        "callbacks": {"ModelCheckpoint": {"best_model_score": np.float64(0.85), "current_score": np.float32(0.84)}},
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": np.float64(1e-4), "step": np.int64(3)}]}],
        "hyper_parameters": {"num_classes": 9, "dims": [96, 192, 384, 768]},
    }


FORMS = {
    "state dict": lambda state: state,
    "Lightning": lightning,
    "DataParallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "compiled, in a Lightning module": lambda state: {
        "state_dict": {f"_model._orig_mod.{name}": tensor for name, tensor in state.items()}
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_checkpoint(network, case, form):
    other = case.network()
    checkpoint = FORMS[form](case.state)
    ours = load_published(other, checkpoint)
    state, expected = other.state_dict(), network.state_dict()
    assert set(ours) == set(checkpoint.get("state_dict", checkpoint))
    assert set(ours.values()) == set(state)
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("as_text", [True, False], ids=["str", "Path"])
def test_lightning_file(network, case, tmp_path, as_text):
    other = case.network()
    path = tmp_path / "epoch=259.ckpt"
    torch.save(lightning(case.state), path)
    load_published(other, str(path) if as_text else path)
    with torch.no_grad():
        assert torch.equal(other(case.input), network(case.input))


def test_a_published_tensor_too_many_or_too_few(network, case):
    few = {name: tensor for name, tensor in case.state.items() if "concat_layer.bias" not in name}
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit") as caught:
        load_published(network, few | {"decoder.extra.weight": torch.zeros(2)})
    message = str(caught.value)
    assert "\n" not in message
    assert "left over: decoder.extra.weight;" in message
    assert "left unset: decoder.0.reduce.bias, decoder.1.reduce.bias, decoder.2.reduce.bias" in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
