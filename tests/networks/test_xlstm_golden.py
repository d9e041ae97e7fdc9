"""Is XLSTMUNet the published network? Outputs, loss and gradients of the authors' code, and its parameter counts."""

import pytest
import torch

from components.kernels import backends, use_backend
from components.networks import XLSTMUNet, load_published
from tests.golden import GoldenCase

CASES = ["uxlstm_bot_2d", "uxlstm_enc_2d", "uxlstm_bot_3d", "uxlstm_enc_3d"]
BACKENDS = [record.name for record in backends("mlstm") if record.available]
# A bias before an instance norm has no gradient; what was measured for these is rounding.
ROUNDING = 2e-6

ABDOMEN = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 14,
    "patch_size": [48, 160, 224],
    "features": [32, 64, 128, 256, 320, 320],
    "kernel_sizes": [[1, 3, 3], 3, 3, 3, 3, 3],
    "strides": [1, [1, 2, 2], 2, 2, 2, [1, 2, 2]],
}
ENDOSCOPY = {
    "spatial_dims": 2,
    "in_channels": 3,
    "out_channels": 8,
    "patch_size": [384, 640],
    "features": [32, 64, 128, 256, 512, 512, 512],
    "kernel_sizes": [3] * 7,
    "strides": [1, 2, 2, 2, 2, 2, 2],
}


def build(case):
    renamed = {"num_classes": "out_channels", "features_per_stage": "features"}
    network = XLSTMUNet(**{renamed.get(name, name): value for name, value in case.config.items()}).eval()
    return network, load_published(network, case.state)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return GoldenCase(request.param)


@pytest.mark.parametrize("backend", BACKENDS)
def test_outputs_and_loss(case, backend):
    network, _ = build(case)
    with torch.no_grad(), use_backend("mlstm", backend):
        outputs = network.deep_outputs(case.input)
    assert len(outputs) == len(case.outputs)
    for output, expected in zip(outputs, case.outputs, strict=True):
        torch.testing.assert_close(output, expected, rtol=0, atol=2e-4)
    assert case.loss_of(outputs).item() == pytest.approx(case.loss, abs=1e-5)


@pytest.mark.parametrize(
    ("dtype", "least"), [(torch.float64, ROUNDING), (torch.float32, 1e-5)], ids=["float64", "float32"]
)
def test_gradients(case, dtype, least):
    """The published bound of 1e-3 holds in float64; in float32 it is missed by small norms of ``uxlstm_enc_3d``.

    Six of its norms, of 5e-4 to 5e-3, differ by up to 2.7e-3 of themselves (1.3e-5) in float32, and by less than 7.2e-4
    in float64. Rounding that turns the sign of activations near zero is the likely cause; it was not traced. The
    absolute tolerance of 1e-5 in float32 was set after that was measured.
    """
    network, ours = build(case)
    network.to(dtype)
    case.loss_of(network.deep_outputs(case.input.to(dtype))).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    for published, expected in case.gradient_norms.items():
        if published not in case.unused:
            norm = gradients.pop(ours[published]).norm().item()
            assert abs(norm - expected) <= 1e-3 * abs(expected) + least, published
    assert not gradients


def test_eval_returns_the_finest_output(case):
    network, _ = build(case)
    with torch.no_grad():
        torch.testing.assert_close(network(case.input), network.deep_outputs(case.input)[0], rtol=0, atol=0)
        outputs = network.train()(case.input)
    assert [output.shape for output in outputs] == [output.shape for output in case.outputs]


def test_every_published_tensor_finds_its_place(case):
    network, ours = build(case)
    assert set(ours.values()) == set(network.state_dict())
    assert not set(case.unused) & set(ours)
    state = network.state_dict()
    for published, name in ours.items():
        assert torch.equal(state[name], case.state[published])


@pytest.mark.parametrize(
    ("plan", "variant", "millions"),
    [(ABDOMEN, "enc", 43.73), (ABDOMEN, "bot", 41.91), (ENDOSCOPY, "enc", 47.66), (ENDOSCOPY, "bot", 47.45)],
)
def test_published_parameter_count(plan, variant, millions):
    with torch.device("meta"):
        network = XLSTMUNet(variant=variant, **plan)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
