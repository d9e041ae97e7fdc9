"""Are the networks the published ones? The authors' outputs, losses and gradients, on every path that is on by default.

In float64 everything agrees to 1e-9, so that a formula that is almost right does not pass.
"""

import contextlib

import pytest
import torch

from components.executor import convolution, execution, patch_expand, residual, unfolded, workspace
from components.kernels import backends, use_backend
from components.networks import load_published
from tests.golden import FOLDER, GoldenCase

CASES = sorted(path.stem for path in FOLDER.glob("*.json"))
OPERATORS = {"msvm": ["cross_selective_scan", "depthwise_conv"], "uxlstm": ["mlstm", "instance_norm"]}
BOUND = 1e-9
LARGEST = "msvm_tiny_2channels_96x160"
"""PyTorch's depthwise convolution in float64 takes minutes for it; the other two of MSVM-UNet have all back ends."""


def rounds(operators, every):
    """Back ends to force, so that each one that can compute on the CPU in float64 has its turn, the preferred first.

    Triton's interpreter, which would take minutes, is compared with the others in the tests of its operators.

    Args:
        operators: whose back ends.
        every: whether the turn of the preferred ones is not the only one.
    """
    able = [[b.name for b in backends(op) if b.available and "cpu" in b.devices] for op in operators]
    for turn in range(max(map(len, able)) if every else 1):
        yield {op: names[min(turn, len(names) - 1)] for op, names in zip(operators, able, strict=True)}


every_back_end = pytest.mark.parametrize(
    ("case", "forced"),
    [
        pytest.param(name, forced, id="-".join([name, *forced.values()]), marks=pytest.mark.xdist_group(name))
        for name in CASES
        for forced in rounds(OPERATORS[name.split("_")[0]], every=name != LARGEST)
    ],
    indirect=["case"],
)
every_case = pytest.mark.parametrize(
    "case", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in CASES], indirect=True
)


@contextlib.contextmanager
def forcing(forced):
    with contextlib.ExitStack() as stack:
        for op, backend in forced.items():
            stack.enter_context(use_backend(op, backend))
        yield


@pytest.fixture(scope="module")
def case(request):
    """A case and its network in float64, loaded once; every test gets the published values."""
    case = GoldenCase(request.param)
    network = case.network()
    ours = load_published(network, case.state)
    return case, network.double(), ours


@pytest.fixture
def network(case):
    """The network, whose buffers are put back afterwards."""
    _, network, _ = case
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    yield network
    for name, buffer in network.named_buffers():
        buffer.copy_(before[name])


def outputs_of(network, x):
    """All outputs, finest first."""
    return network.deep_outputs(x) if hasattr(network, "deep_outputs") else [network(x)]


def assert_published(case, outputs):
    """Each output, its sum and norm, and the loss are the published ones."""
    assert len(outputs) == len(case.outputs)
    for output, expected, summary in zip(outputs, case.outputs, case.summaries, strict=True):
        assert list(output.shape) == summary["shape"]
        exact = expected.double()
        stored = 0 if expected.dtype == torch.float64 else exact.abs() * 2**-24  # the rounding of what is stored
        assert ((output - exact).abs() - stored).max() <= BOUND * summary["max"]
        assert output.norm().item() == pytest.approx(summary["norm"], rel=BOUND, abs=0)
        assert output.abs().max().item() == pytest.approx(summary["max"], rel=BOUND, abs=0)
        cancels = BOUND * max(abs(summary["sum"]), summary["norm"])
        assert output.sum().item() == pytest.approx(summary["sum"], rel=0, abs=cancels)
    assert case.loss_of(outputs).item() == pytest.approx(case.loss, rel=BOUND, abs=0)


@every_back_end
def test_outputs_and_gradients(case, network, forced):
    with forcing(forced):
        assert_differentiates_as_published(case, network)


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("uxlstm")], indirect=True)
def test_training_by_rows(case, network, monkeypatch):
    """As large images train on a CPU: channels-last, norms in place, nothing merged; here small ones."""
    monkeypatch.setattr(execution, "LARGE_INPUT", 0)
    monkeypatch.setattr(residual, "FEW", 0)
    monkeypatch.setattr(unfolded, "LARGE", 0)
    network.train()
    try:
        assert_differentiates_as_published(case, network)
    finally:
        network.eval()


def assert_differentiates_as_published(case, network):
    case, _, ours = case
    x = case.input.double().requires_grad_()
    outputs = outputs_of(network, x)
    assert_published(case, outputs)
    parameters = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    gradients = torch.autograd.grad(case.loss_of(outputs), [x, *parameters.values()])
    norms = dict(zip(["input", *parameters], (gradient.norm().item() for gradient in gradients), strict=True))
    assert norms.pop("input") == pytest.approx(case.input_gradient_norm, rel=BOUND, abs=0)
    # A bias before an instance norm has no gradient; what was measured for these is rounding.
    floor = 1e-6 * torch.tensor(list(case.gradient_norms.values())).norm().item()
    for published, expected in case.gradient_norms.items():
        if published not in case.unused:
            assert abs(norms.pop(ours[published]) - expected) <= BOUND * max(expected, floor), published
    assert not norms
    assert_buffers(case, network, ours)


def assert_buffers(case, network, ours):
    """In training mode: the moments that batch norms keep are the published ones."""
    buffers = dict(network.named_buffers())
    for published, expected in case.buffers_after.items():
        buffer = buffers[ours[published]].double()
        assert buffer.norm().item() == pytest.approx(expected["norm"], rel=BOUND, abs=0), published
        cancels = BOUND * max(abs(expected["sum"]), expected["norm"])
        assert buffer.sum().item() == pytest.approx(expected["sum"], rel=0, abs=cancels), published
    assert case.buffers_after.keys() == ({name for name in ours if ours[name] in buffers} if case.training else set())


@every_back_end
def test_without_gradients(case, network, forced):
    """As in inference, where a CPU computes in place, by rows and with folded norms."""
    with forcing(forced):
        assert_infers_as_published(case, network)


@every_case
def test_without_gradients_in_slabs(case, network, monkeypatch):
    """What is computed in pieces where maps are large, here for small ones."""
    monkeypatch.setattr(convolution, "SLAB", 2**14)
    monkeypatch.setattr(patch_expand, "STRIPE", 2**14)
    monkeypatch.setattr(residual, "FEW", 0)
    monkeypatch.setattr(unfolded, "LARGE", 0)
    monkeypatch.setattr(workspace, "LARGE", 0)
    assert_infers_as_published(case, network)


def assert_infers_as_published(case, network):
    case, _, ours = case
    x = case.input.double()
    with torch.no_grad():
        outputs = outputs_of(network, x)
        assert_published(case, outputs)
        assert_buffers(case, network, ours)
        if not case.training:
            torch.testing.assert_close(network(x), outputs[0], rtol=0, atol=BOUND)


@every_case
def test_every_published_tensor_finds_its_place(case):
    case, network, ours = case
    state = network.state_dict()
    assert set(ours.values()) == set(state)
    assert not set(case.unused) & set(ours)
    for published, name in ours.items():
        expected = case.state[published].reshape(
            state[name].shape
        )  # linear layers are 1 × 1 convolutions in one of them
        assert torch.equal(state[name], expected.to(state[name].dtype))


@every_case
def test_float32(case):
    """What float32 can hold: the outputs, the loss and most of the gradient.

    Not every gradient: noise of 6e-8 on the input, which is the rounding of float32, turns the sign of activations near
    zero, and moves the gradient of the deepest networks by 1 %. The formulas are tested in float64 above.
    """
    case, network, _ = case
    single = case.network()
    single.load_state_dict(network.state_dict())
    x = case.input
    with torch.no_grad():
        quick = outputs_of(single, x)
    single.load_state_dict(network.state_dict())
    outputs = outputs_of(single, x)
    for computed in (outputs, quick):
        for output, expected, summary in zip(computed, case.outputs, case.summaries, strict=True):
            torch.testing.assert_close(output, expected.float(), rtol=0, atol=3e-5 * summary["max"])  # seen: 2.5e-5
        assert case.loss_of(computed).item() == pytest.approx(case.loss, abs=1e-5)
    case.loss_of(outputs).backward()
    norm = torch.stack(
        [parameter.grad.norm() for parameter in single.parameters() if parameter.grad is not None]
    ).norm()
    expected = torch.tensor([norm for name, norm in case.gradient_norms.items() if name not in case.unused]).norm()
    assert norm.item() == pytest.approx(expected.item(), rel=1e-2)
