"""Averages of the probabilities of several weights."""

import weakref

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer

from components.inferers import EnsembleInferer, EvenWindowInferer


def members(count, classes=3):
    torch.manual_seed(0)
    return [torch.nn.Conv3d(1, classes, 3, padding=1).state_dict() for _ in range(count)]


@pytest.fixture
def layer():
    return torch.nn.Conv3d(1, 3, 3, padding=1)


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("count", [2, 3])
def test_equals_the_mean_written_out(layer, count, sigmoid):
    states, x = members(count), 5 * torch.randn(2, 1, 4, 5, 6)
    answers = []
    for state in states:
        layer.load_state_dict(state)
        answers.append(layer(x).detach())
    chances = [a.sigmoid() if sigmoid else a.softmax(1) for a in answers]
    found = EnsembleInferer(SimpleInferer(), layer, states, sigmoid)(x, layer)
    mean = found.sigmoid() if sigmoid else found.softmax(1)
    torch.testing.assert_close(mean, torch.stack(chances).mean(0), rtol=1e-6, atol=1e-7)


def test_probabilities_that_float32_does_not_have(layer):
    """The mean of e^-200 and e^-210 is 0 in float32, but its logarithm is not."""
    network = torch.nn.Conv1d(1, 2, 1, bias=False)
    states = [{"weight": torch.tensor([[[a]], [[0.0]]])} for a in (-200.0, -210.0)]
    found = EnsembleInferer(SimpleInferer(), network, states)(torch.ones(1, 1, 1), network)
    expected = torch.logaddexp(torch.tensor(-200.0), torch.tensor(-210.0)) - torch.tensor(2.0).log()
    torch.testing.assert_close(found[0, 0, 0] - found[0, 1, 0], expected)


def test_a_single_network_is_itself(layer):
    (state,) = members(1)
    x = torch.randn(1, 1, 4, 4, 4)
    found = EnsembleInferer(SimpleInferer(), layer, [state])(x, layer)
    assert torch.equal(found, layer(x))
    with pytest.raises(ValueError, match="needs weights"):
        EnsembleInferer(SimpleInferer(), layer, [])


def test_metadata_and_half_precision(layer):
    image = MetaTensor(torch.randn(1, 1, 6, 6, 6), affine=torch.eye(4) * 2)
    found = EnsembleInferer(EvenWindowInferer([4, 4, 4]), layer, members(2))(image, lambda x: layer(x).bfloat16())
    assert found.dtype == torch.float32
    assert torch.equal(found.affine, image.affine)


def test_answers_are_neither_changed_nor_kept(layer):
    """A network may return what it keeps; what the last weights have answered is freed before the next ones answer."""
    kept = torch.randn(1, 3, 4, 4, 4)
    before = kept.clone()
    EnsembleInferer(SimpleInferer(), layer, members(3))(kept, lambda x: kept)
    assert torch.equal(kept, before)
    answers = []

    def network(x):
        assert [answer for answer in answers if answer() is not None] == []
        y = layer(x)
        answers.append(weakref.ref(y))
        return y

    EnsembleInferer(SimpleInferer(), layer, members(3))(torch.randn(1, 1, 4, 4, 4), network)
    assert len(answers) == 3
