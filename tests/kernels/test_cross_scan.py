"""The four-path scan of images on a CPU: every back end against the definition, and the definition pixel by pixel."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_cases import assert_close, assert_equal, outputs
from torch.profiler import ProfilerActivity, profile

from components import kernels
from components.kernels.ops.cross_selective_scan.composed import cross_merge, cross_scan
from tests.kernels.graphs import namespaces

BACKENDS = ("naive", "torch", "numba")
NAMES = ("x", "x_proj_weight", "dt_projs_weight", "dt_projs_bias", "A_logs", "Ds")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
fast_backends = pytest.mark.parametrize("backend", ["torch", "numba"])
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])

# batch, channels (numba takes them by 48), height, width, rank, N
SIZES = [
    (1, 1, 1, 1, 1, 1),
    (3, 48, 1, 1, 3, 16),
    (1, 50, 1, 7, 4, 1),
    (3, 6, 7, 1, 1, 16),
    (1, 96, 5, 3, 6, 1),
    (3, 47, 5, 3, 3, 2),
    (1, 48, 7, 9, 3, 1),
    (1, 10, 7, 9, 2, 16),
]


def arguments(batch, channels, height, width, rank, states, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = (
        (batch, channels, height, width),
        (4, rank + 2 * states, channels),
        (4, channels, rank),
        (4, channels),
        (4 * channels, states),
        (4 * channels,),
    )
    tensors = [torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes]
    tensors[1] /= channels**0.5
    tensors[2] /= rank**0.5
    return [tensor.to(dtype).requires_grad_() for tensor in tensors]


def results(tensors, backend, function=kernels.cross_selective_scan):
    return outputs(function, tensors, backend, names=NAMES)


def assert_same(tensors, backend):
    """Equal to the definition in float64, outputs and every gradient."""
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    assert_close(results(tensors, backend), results(exact, "naive"))


def pixel_by_pixel(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds):
    """The definition in NumPy, one pixel after the other."""
    x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds = (
        tensor.detach().numpy() for tensor in (x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds)
    )
    batch, channels, height, width = x.shape
    rank, states = dt_projs_weight.shape[-1], A_logs.shape[-1]
    A, D = -np.exp(A_logs).reshape(4, channels, states), Ds.reshape(4, channels)
    by_rows = [(row, column) for row in range(height) for column in range(width)]
    by_columns = [(row, column) for column in range(width) for row in range(height)]
    y = np.zeros_like(x)
    for image in range(batch):
        for k, path in enumerate((by_rows, by_columns, by_rows[::-1], by_columns[::-1])):
            state = np.zeros((channels, states))
            for row, column in path:
                pixel = x[image, :, row, column]
                dt, B, C = np.split(x_proj_weight[k] @ pixel, [rank, rank + states])
                step = np.logaddexp(0, dt_projs_weight[k] @ dt + dt_projs_bias[k])
                state = np.exp(step[:, None] * A[k]) * state + np.outer(step * pixel, B)
                y[image, :, row, column] += state @ C + D[k] * pixel
    return torch.from_numpy(y)


@pytest.mark.parametrize("size", [(2, 3, 4, 3, 2, 2), (1, 2, 1, 5, 1, 1)], ids=str)
@every_backend
def test_equal_to_the_definition_pixel_by_pixel(backend, size):
    tensors = arguments(*size)
    actual = kernels.cross_selective_scan(*tensors, backend=backend)
    torch.testing.assert_close(actual, pixel_by_pixel(*tensors), rtol=1e-12, atol=1e-12)


@every_dtype
@pytest.mark.parametrize("size", SIZES, ids=str)
@fast_backends
def test_outputs_and_every_gradient(backend, size, dtype):
    assert_same(arguments(*size, dtype), backend)


def test_triton_in_one_small_case():
    pytest.importorskip("triton", reason="needs Triton: pip install 'scanseg[cuda]'")
    if torch.cuda.is_available():
        pytest.skip("on a machine with a GPU, Triton does not run on the CPU")
    assert_same(arguments(1, 2, 2, 3, 1, 1, torch.float32), "triton")


@fast_backends
@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(*(st.integers(1, highest) for highest in (3, 100, 8, 8, 4, 3))),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_size(backend, size, channels_last, seed):
    tensors = arguments(*size, seed=seed)
    if channels_last:
        tensors[0] = tensors[0].detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    assert_same(tensors, backend)


@every_backend
def test_gradcheck(backend):
    tensors = arguments(1, 2, 2, 3, 1, 2)
    assert torch.autograd.gradcheck(lambda *inputs: kernels.cross_selective_scan(*inputs, backend=backend), tensors)


@pytest.mark.parametrize(
    "layout",
    [
        lambda t: t.contiguous(memory_format=torch.channels_last),
        lambda t: t.transpose(-1, -2).contiguous().transpose(-1, -2),
        lambda t: t.repeat_interleave(2, -1)[..., ::2],
    ],
    ids=["channels last", "transposed", "every other number"],
)
@pytest.mark.parametrize("channels", [48, 5])
@every_backend
def test_memory_layouts(backend, channels, layout):
    tensors = arguments(2, channels, 5, 3, 2, 2)
    strided = [layout(tensors[0].detach()).requires_grad_(), *tensors[1:]]
    strided[1:] = [t.detach().repeat_interleave(2, -1)[..., ::2].requires_grad_() for t in strided[1:]]
    assert not any(tensor.is_contiguous() for tensor in strided)
    assert_close(results(strided, backend), results(tensors, backend))


@every_backend
def test_gradient_that_is_an_expanded_number(backend):
    tensors = arguments(2, 5, 3, 4, 1, 2)
    y = kernels.cross_selective_scan(*tensors, backend=backend)
    gradients = torch.autograd.grad(y.sum(), tensors, retain_graph=True)
    expected = torch.autograd.grad(y, tensors, torch.ones_like(y))
    for actual, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("channels", [48, 96])
def test_numba_keeps_channels_last(channels):
    x, *weights = arguments(2, channels, 6, 5, 3, 1, torch.float32)
    x = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    y = kernels.cross_selective_scan(x, *weights, backend="numba")
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@every_dtype
@every_backend
def test_large_steps_and_inputs_stay_finite(backend, dtype):
    tensors = arguments(1, 48, 4, 5, 3, 2, dtype)
    with torch.no_grad():
        tensors[0] *= 1e3
        tensors[2] *= 1e-3
        tensors[3] *= 1e4
    assert_same(tensors, backend)
    assert all(value.isfinite().all() for value in results(tensors, backend).values())


@every_backend
def test_bfloat16_is_the_rounded_float32_result(backend):
    half = [tensor.detach().bfloat16().requires_grad_() for tensor in arguments(1, 6, 5, 3, 2, 2)]
    single = [tensor.detach().float().requires_grad_() for tensor in half]
    actual, expected = results(half, backend), results(single, backend)
    assert torch.equal(actual["y"], expected["y"].bfloat16())
    for name in NAMES:
        assert actual[name].dtype == torch.bfloat16, name
        assert actual[name].isfinite().all(), name


@every_backend
def test_autocast_leaves_it_in_float32(backend):
    tensors = arguments(1, 6, 5, 3, 2, 2, torch.float32)
    expected = kernels.cross_selective_scan(*tensors, backend=backend)
    with torch.autocast("cpu", torch.bfloat16):
        actual = kernels.cross_selective_scan(*tensors, backend=backend)
    assert torch.equal(actual, expected)


def test_numba_differentiates_in_float32_inside_autocast():
    tensors = arguments(1, 6, 5, 3, 2, 2, torch.float32)
    expected = results(tensors, "numba")
    with torch.autocast("cpu", torch.bfloat16):
        actual = results(tensors, "numba")
    assert_equal(actual, expected)


@every_backend
def test_transposed_image_swaps_rows_and_columns(backend):
    x, *weights = arguments(1, 4, 3, 5, 1, 2)
    swapped = [w.unflatten(0, (4, -1))[[1, 0, 3, 2]].flatten(0, 1) for w in weights]
    y = kernels.cross_selective_scan(x, *weights, backend=backend)
    transposed = kernels.cross_selective_scan(x.transpose(2, 3), *swapped, backend=backend)
    torch.testing.assert_close(transposed.transpose(2, 3), y, rtol=1e-12, atol=1e-12)


@every_backend
def test_turned_image_swaps_forwards_and_backwards(backend):
    x, *weights = arguments(1, 4, 3, 5, 1, 2)
    swapped = [w.unflatten(0, (4, -1))[[2, 3, 0, 1]].flatten(0, 1) for w in weights]
    y = kernels.cross_selective_scan(x, *weights, backend=backend)
    turned = kernels.cross_selective_scan(x.flip(2, 3), *swapped, backend=backend)
    torch.testing.assert_close(turned.flip(2, 3), y, rtol=1e-12, atol=1e-12)


def test_merging_is_the_transpose_of_scanning():
    x, y = torch.randn(2, 3, 5, 4, dtype=torch.float64), torch.randn(2, 4, 3, 20, dtype=torch.float64)
    torch.testing.assert_close((cross_scan(x) * y).sum(), (x * cross_merge(y, 5, 4)).sum())


@pytest.mark.parametrize("backend", ["auto", "torch", "numba"])
@pytest.mark.parametrize("size", [(2, 48, 5, 3, 3, 1), (1, 5, 1, 1, 1, 1)], ids=str)
def test_one_graph_under_compile(size, backend):
    tensors = arguments(*size)
    tensors[0] = tensors[0].detach().contiguous(memory_format=torch.channels_last).requires_grad_()

    def double(*inputs):
        return 2 * kernels.cross_selective_scan(*inputs)

    torch._dynamo.reset()
    compiled = torch.compile(double, fullgraph=True, backend="aot_eager")
    assert_close(results(tensors, backend, compiled), results(tensors, backend, double))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_recorded_in_operations_of_pytorch():
    first, second = ([t.detach() for t in arguments(1, 5, 4, 3, 2, 2, torch.float32, seed)] for seed in (0, 1))
    traced = torch.jit.trace(kernels.cross_selective_scan, first)
    assert namespaces(traced.inlined_graph) <= {"aten", "prim"}
    torch.testing.assert_close(traced(*second), kernels.cross_selective_scan(*second, backend="naive"))


def peak_of_copies(tmp_path, tensors, backend):
    """Memory at its highest during the forward pass, beyond the arguments, in copies of the image."""
    with torch.no_grad():
        kernels.cross_selective_scan(*tensors, backend=backend)  # what is compiled or cached once does not count
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            kernels.cross_selective_scan(*tensors, backend=backend)
    profiler.export_chrome_trace(str(tmp_path / f"{backend}.json"))
    events = json.loads((tmp_path / f"{backend}.json").read_text())["traceEvents"]
    changes = [
        event["args"]["Bytes"] for event in sorted(events, key=lambda e: e.get("ts", 0)) if event["name"] == "[memory]"
    ]
    return np.cumsum(changes).max() / tensors[0].nbytes


def test_numba_stores_no_scanned_copies(tmp_path):
    """The result, the step sizes of one path and the narrow projections: fewer than the four copies of the image."""
    tensors = [tensor.detach() for tensor in arguments(1, 96, 64, 64, 6, 1, torch.float32)]
    tensors[0] = tensors[0].contiguous(memory_format=torch.channels_last)
    assert peak_of_copies(tmp_path, tensors, "torch") > 4
    assert peak_of_copies(tmp_path, tensors, "numba") < 3


def test_shapes_alone_on_the_meta_device():
    tensors = [tensor.detach().to("meta") for tensor in arguments(2, 3, 5, 4, 1, 2)]
    assert kernels.cross_selective_scan(*tensors).shape == (2, 3, 5, 4)


@pytest.mark.parametrize("index", range(1, 6), ids=NAMES[1:])
def test_wrong_shapes(index):
    tensors = arguments(1, 6, 2, 2, 3, 2)
    needed = tuple(tensors[index].shape)
    tensors[index] = torch.zeros(*needed[:-1], needed[-1] + 1)
    with pytest.raises(
        ValueError, match=f"cross_selective_scan of 6 channels needs {NAMES[1 if index in (2, 4) else index]}"
    ):
        kernels.cross_selective_scan(*tensors)


def test_image_without_batch():
    tensors = arguments(1, 6, 2, 2, 3, 2)
    tensors[0] = tensors[0][0]
    with pytest.raises(ValueError, match=r"needs an image \(B, C, H, W\), got \(6, 2, 2\)"):
        kernels.cross_selective_scan(*tensors)
