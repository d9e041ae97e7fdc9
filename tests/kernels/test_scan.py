"""The selective scan on a CPU: every back end against the definition, and the definition against scipy's filters."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_cases import NAMES, arguments, assert_close, assert_equal, assert_same, outputs
from scipy.signal import lfilter

from components import kernels
from components.kernels.ops.selective_scan import naive, numba
from components.kernels.ops.selective_scan import torch as portable
from tests.kernels.graphs import namespaces

SCANS = {"naive": naive.selective_scan, "torch": portable.selective_scan, "numba": numba.selective_scan}
FAST = {name: SCANS[name] for name in ("torch", "numba")}
every_scan = pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
fast_scans = pytest.mark.parametrize("scan", FAST.values(), ids=FAST)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])

# batch, groups, rows per group (numba takes them by 48), N, L
SIZES = [
    (1, 1, 1, 1, 1),
    (3, 2, 48, 16, 1),
    (1, 4, 2, 1, 2),
    (3, 1, 50, 16, 2),
    (3, 1, 96, 1, 63),
    (1, 2, 5, 16, 63),
    (1, 4, 48, 1, 64),
    (3, 1, 47, 1, 65),
    (1, 2, 49, 3, 65),
]


@every_dtype
@pytest.mark.parametrize("size", SIZES, ids=str)
@every_scan
def test_outputs_and_every_gradient(scan, size, dtype):
    assert_same(scan, arguments(*size, dtype))


@fast_scans
@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(*(st.integers(1, highest) for highest in (3, 4, 100, 4, 40))),
    softplus=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_size(scan, size, softplus, seed):
    tensors = arguments(*size, seed=seed)
    if not softplus:
        tensors[1] = tensors[1].detach().abs().requires_grad_()
        tensors[6] = None
    assert_same(scan, tensors, softplus)


@every_dtype
@pytest.mark.parametrize("softplus", [True, False])
@pytest.mark.parametrize("absent", [(), (5,), (6,), (5, 6)], ids=["none", "D", "delta_bias", "both"])
@every_scan
def test_optional_arguments(scan, absent, softplus, dtype):
    tensors = arguments(2, 2, 3, 2, 37, dtype)
    if not softplus:  # negative steps would grow the state exponentially
        for index in (1, 6):
            tensors[index] = tensors[index].detach().abs().requires_grad_()
    assert_same(scan, [None if index in absent else tensor for index, tensor in enumerate(tensors)], softplus)


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("softplus", [True, False])
@every_scan
def test_gradcheck(scan, softplus, length):
    tensors = arguments(2, 2, 2, 2, length)
    if not softplus:
        tensors[1] = tensors[1].detach().abs().requires_grad_()
    assert torch.autograd.gradcheck(lambda *inputs: scan(*inputs, softplus), tensors)


@pytest.mark.parametrize("backend", SCANS)
def test_inputs_that_are_not_contiguous(backend):
    tensors = arguments(2, 2, 48, 3, 21)
    strided = [tensor.detach().transpose(-1, -2).contiguous().transpose(-1, -2) for tensor in tensors[:5]]
    strided += [tensor.detach().repeat_interleave(2)[::2] for tensor in tensors[5:]]
    assert not any(tensor.is_contiguous() for tensor in strided)
    results = [
        outputs(kernels.selective_scan, inputs, True, backend)
        for inputs in (tensors, [tensor.requires_grad_() for tensor in strided])
    ]
    assert_close(*results)


@every_scan
def test_gradient_that_is_an_expanded_number(scan):
    tensors = arguments(1, 1, 48, 2, 19)
    y = scan(*tensors, True)
    gradients = torch.autograd.grad(y.sum(), tensors, retain_graph=True)
    expected = torch.autograd.grad(y, tensors, torch.ones_like(y))
    for actual, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wanted", range(7), ids=NAMES)
@every_scan
def test_gradient_of_one_argument_alone(scan, wanted):
    tensors = arguments(1, 2, 2, 2, 9)
    expected = outputs(scan, tensors, True)[NAMES[wanted]]
    alone = [tensor.detach().requires_grad_(index == wanted) for index, tensor in enumerate(tensors)]
    y = scan(*alone, True)
    weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).reshape(y.shape)
    assert torch.equal(torch.autograd.grad(y, alone[wanted], weights)[0], expected)


@every_dtype
@every_scan
def test_large_steps_and_inputs_stay_finite(scan, dtype):
    tensors = arguments(1, 1, 48, 2, 40, dtype)
    with torch.no_grad():
        tensors[0] *= 1e6
        tensors[1] *= 1e4
    assert tensors[1].min() < -1e4
    assert tensors[1].max() > 1e4
    assert_same(scan, tensors)
    assert all(value.isfinite().all() for value in outputs(scan, tensors, True).values())


@every_scan
def test_small_steps_keep_their_digits(scan):
    """Softplus at −12 is 6e-6: log(1 + exp(·)) in float32 would have lost all but two digits of it."""
    tensors = arguments(1, 1, 1, 1, 30, torch.float32)[:5]
    tensors[1] = torch.full_like(tensors[1], -12.0)
    actual = scan(*tensors, None, None, True).double()
    expected = naive.selective_scan(*(tensor.double() for tensor in tensors), None, None, True)
    torch.testing.assert_close(actual, expected, rtol=2e-6, atol=1e-7 * expected.abs().max().item())


@pytest.mark.parametrize("index", range(7), ids=NAMES)
@fast_scans
def test_not_a_number_shows_where_it_does_in_the_definition(scan, index):
    tensors = arguments(2, 1, 3, 1, 8, torch.float32)
    with torch.no_grad():
        tensors[index].view(-1)[0] = torch.nan
    expected = naive.selective_scan(*tensors, True).isnan()
    assert expected.any()
    assert torch.equal(scan(*tensors, True).isnan(), expected)


def constant_system(length=50):
    """Arguments whose step size, B and C do not change over time: each row is then a linear filter of u."""
    tensors = [tensor.detach() for tensor in arguments(2, 2, 3, 4, length)]
    for index in (1, 3, 4):
        tensors[index] = tensors[index][..., :1].expand(*tensors[index].shape[:-1], length)
    return tensors


def filtered(u, delta, A, B, C, D, bias):
    """The constant system by scipy: for each state a recursive filter of order one."""
    step = np.logaddexp(0, (delta + bias[:, None])[..., 0].numpy())
    per_group = A.shape[0] // B.shape[1]
    result = (D[:, None] * u).numpy()
    for image, row, state in np.ndindex(u.shape[0], *A.shape):
        size, group = step[image, row], row // per_group
        gain = size * B[image, group, state, 0].item() * C[image, group, state, 0].item()
        result[image, row] += lfilter([gain], [1, -np.exp(size * A[row, state].item())], u[image, row].numpy())
    return torch.from_numpy(result)


@every_scan
def test_a_constant_system_is_a_linear_filter(scan):
    tensors = constant_system()
    torch.testing.assert_close(scan(*tensors, True), filtered(*tensors), rtol=1e-12, atol=1e-12)


@every_scan
def test_its_gradient_is_the_filter_backwards_in_time(scan):
    u, *system = constant_system()
    weights = torch.linspace(-1, 2, u.numel(), dtype=torch.float64).reshape(u.shape)
    u.requires_grad_()
    (gradient,) = torch.autograd.grad(scan(u, *system, True), u, weights)
    expected = filtered(weights.flip(-1), *system).flip(-1)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("backend", SCANS)
def test_half_precision_is_the_rounded_float32_result(backend, dtype):
    half = [tensor.detach().to(dtype).requires_grad_() for tensor in arguments(1, 2, 3, 2, 33, torch.float32)]
    single = [tensor.detach().float().requires_grad_() for tensor in half]
    expected = outputs(kernels.selective_scan, single, True, backend)
    actual = outputs(kernels.selective_scan, half, True, backend)
    assert actual["y"].dtype == dtype
    assert torch.equal(actual["y"], expected["y"].to(dtype))
    for name in NAMES:
        assert actual[name].dtype == dtype, name
        assert actual[name].isfinite().all(), name


@pytest.mark.parametrize("backend", SCANS)
def test_autocast_leaves_it_in_float32(backend):
    tensors = arguments(1, 2, 3, 2, 33, torch.float32)
    expected = outputs(kernels.selective_scan, tensors, True, backend)
    with torch.autocast("cpu", torch.bfloat16):
        actual = outputs(kernels.selective_scan, tensors, True, backend)
    assert_equal(actual, expected)


def test_shapes_alone_on_the_meta_device():
    tensors = [tensor.detach().to("meta") for tensor in arguments(2, 2, 3, 2, 7)]
    assert kernels.selective_scan(*tensors).shape == (2, 6, 7)


@pytest.mark.parametrize("backend", ["auto", *SCANS])
def test_one_graph_under_compile(backend):
    tensors = arguments(1, 2, 3, 2, 7)

    def double(*inputs):
        return 2 * kernels.selective_scan(*inputs, delta_softplus=True, backend=backend)

    torch._dynamo.reset()
    assert_close(outputs(torch.compile(double, fullgraph=True, backend="aot_eager"), tensors), outputs(double, tensors))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_recorded_in_operations_of_pytorch():
    first, second = ([t.detach() for t in arguments(1, 2, 3, 2, 7, torch.float32, seed=seed)] for seed in (0, 1))
    traced = torch.jit.trace(kernels.selective_scan, first)
    assert namespaces(traced.inlined_graph) <= {"aten", "prim"}
    torch.testing.assert_close(traced(*second), kernels.selective_scan(*second, backend="naive"))


@pytest.mark.parametrize(
    ("index", "shape", "message"),
    [
        (1, (2, 6, 8), r"one shape \(batch, rows, L\), got \(2, 6, 7\) and \(2, 6, 8\)"),
        (2, (4, 2), r"A of shape \(6, N\) for 6 rows, got \(4, 2\)"),
        (3, (2, 2, 3, 7), r"B and C of shape \(2, G, 2, 7\), got \(2, 2, 3, 7\) and \(2, 2, 2, 7\)"),
        (5, (1, 6), r"D of shape \(6,\), got \(1, 6\)"),
        (6, (5,), r"delta_bias of shape \(6,\), got \(5,\)"),
    ],
    ids=["delta", "A", "B", "D", "delta_bias"],
)
def test_wrong_shapes(index, shape, message):
    tensors = arguments(2, 2, 3, 2, 7)
    tensors[index] = torch.zeros(shape)
    with pytest.raises(ValueError, match=message):
        kernels.selective_scan(*tensors)


def test_rows_that_the_groups_cannot_share():
    tensors = arguments(2, 2, 3, 2, 7)
    tensors[3:5] = [torch.zeros(2, 4, 2, 7)] * 2
    with pytest.raises(ValueError, match="6 rows cannot be shared by 4 groups"):
        kernels.selective_scan(*tensors)
