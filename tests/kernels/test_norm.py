"""Instance norm with residual and activation: every back end against the definition, in values and gradients."""

import pytest
import torch
from torch.nn import functional as F

from components.kernels import instance_norm, use_backend
from components.kernels.layout import channels_last, memory_format
from components.kernels.numba_jit import jit
from components.kernels.ops.instance_norm.rows import narrow
from tests.kernels.graphs import namespaces

NAMES = ("y", "dx", "dweight", "dbias", "dresidual")
SHAPES = [(2, 3, 5, 7), (1, 32, 4, 16, 16), (2, 48, 3, 4, 5), (3, 300, 1, 2), (1, 5, 1, 1, 2)]


def arguments(shape, dtype, residual=True, mean=3.0):
    generator = torch.Generator().manual_seed(sum(shape))
    parameters = torch.float64 if dtype == torch.float64 else torch.float32

    def numbers(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    x = (numbers(*shape) * 2 + mean).to(dtype)
    weight, bias = numbers(shape[1]).to(parameters), numbers(shape[1]).to(parameters)
    return x, weight, bias, numbers(*shape).to(dtype) if residual else None


def outputs(backend, tensors, negative_slope=0.01):
    leaves = [None if tensor is None else tensor.detach().clone().requires_grad_() for tensor in tensors]
    y = instance_norm(*leaves, negative_slope=negative_slope, backend=backend)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64).to(y.dtype)
    return [y, *torch.autograd.grad(y, [leaf for leaf in leaves if leaf is not None], dy)]


def assert_equal(results, expected, tolerance):
    for name, result, value in zip(NAMES, results, expected, strict=False):
        scale = value.double().abs().max().clamp(min=1e-6)
        assert ((result.double() - value.double()).abs().max() / scale) <= tolerance, name


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("negative_slope", [0.01, 1.0, 0.0])
def test_back_ends_agree_with_the_definition(backend, shape, residual, negative_slope):
    tensors = arguments(shape, torch.float64, residual)
    results = outputs(backend, tensors, negative_slope)
    assert_equal(results, outputs("naive", tensors, negative_slope), 1e-11)


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_float32_and_channels_last(shape):
    tensors = arguments(shape, torch.float32)
    expected = outputs("naive", [tensor.double() for tensor in tensors])
    assert_equal(outputs("numba", tensors), expected, 1e-6)
    moved = [channels_last(t) if t.ndim > 1 else t for t in tensors]
    for result, same in zip(outputs("numba", tensors), outputs("numba", moved), strict=True):
        assert torch.equal(result, same)


def test_a_mean_far_from_zero_costs_no_precision():
    x, weight, bias, _ = arguments((1, 4, 40, 50), torch.float32, mean=3000.0)
    expected = instance_norm(x.double(), weight.double(), bias.double(), backend="naive")
    assert (instance_norm(x, weight, bias, backend="numba") - expected).abs().max() < 2e-3  # 3000 in float32 ± 1.2e-4


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_bfloat16_is_computed_in_float32(shape):
    """Equal to the definition in float64 on the same bfloat16 numbers, rounded once."""
    tensors = arguments(shape, torch.bfloat16)
    results = outputs("numba", tensors)
    assert results[0].dtype == results[1].dtype == torch.bfloat16
    assert results[2].dtype == torch.float32
    expected = outputs("naive", [tensor.double() for tensor in tensors])
    assert_equal(results[:1], expected[:1], 2**-8)
    rounded = expected[0].to(torch.bfloat16)
    assert (results[0] == rounded).float().mean() > 0.999  # but where float32 rounds across a tie


def test_bfloat16_rounds_to_even_and_keeps_what_is_not_finite():
    values = torch.tensor([1.0, 1 + 2**-8, 1 + 3 * 2**-8, float("inf"), float("-inf"), float("nan"), -3.3e38, 1e-40])
    stored = torch.zeros(8, dtype=torch.bfloat16)
    array = stored.view(torch.int16).numpy().view("uint16")

    @jit()
    def store(numbers, array):
        for c in range(len(numbers)):
            array[c] = narrow(numbers[c], array)

    store(values.numpy(), array)
    torch.testing.assert_close(stored, values.to(torch.bfloat16), rtol=0, atol=0, equal_nan=True)


def test_gradients_by_finite_differences():
    leaves = [tensor.requires_grad_() for tensor in arguments((2, 3, 4, 3), torch.float64)]
    assert torch.autograd.gradcheck(lambda *a: instance_norm(*a, negative_slope=0.2, backend="numba"), leaves)


def test_equals_pytorch_and_writes_in_place_only_where_it_may():
    x, weight, bias, residual = arguments((2, 8, 4, 6, 6), torch.float32)
    expected = F.leaky_relu(F.instance_norm(x, weight=weight, bias=bias) + residual, 0.01)
    before = x.clone()
    torch.testing.assert_close(instance_norm(x, weight, bias, residual, negative_slope=0.01), expected)
    assert torch.equal(x, before)
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(instance_norm(leaf, weight, bias, residual, negative_slope=0.01, inplace=True), expected)
    assert torch.equal(leaf, before)
    last = x.to(memory_format=torch.channels_last_3d)
    y = instance_norm(last, weight, bias, residual, negative_slope=0.01, inplace=True, backend="numba")
    torch.testing.assert_close(y, expected)
    assert y.data_ptr() == last.data_ptr()


def in_training(tensors):
    """Result and gradients where the norm may overwrite what a convolution made, and the bytes kept for them."""
    leaves = [None if tensor is None else tensor.detach().clone().requires_grad_() for tensor in tensors]
    made = leaves[0].contiguous(memory_format=memory_format(leaves[0]))
    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = instance_norm(made, *leaves[1:], negative_slope=0.01, inplace=True, backend="numba")
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64).to(y.dtype)
    gradients = torch.autograd.grad(y, [leaf for leaf in leaves if leaf is not None], dy)
    return [y, *gradients], sum(kept.values()), y.data_ptr() == made.data_ptr()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("residual", [True, False])
def test_training_in_place_undoes_the_norm(shape, residual):
    tensors = arguments(shape, torch.float64, residual)
    results, kept, inplace = in_training(tensors)
    assert_equal(results, outputs("naive", tensors), 1e-9)  # weights near 0 cost digits
    assert inplace
    maps = 2 if residual else 1
    assert kept <= maps * tensors[0].nbytes + 4 * 8 * shape[0] * shape[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_keeps_the_input_where_the_norm_cannot_be_undone(dtype):
    tensors = arguments((2, 8, 3, 4, 5), dtype, residual=False)
    tensors[1][3] = 1e-5
    results, kept, inplace = in_training(tensors)
    expected = outputs("naive", [tensor.double() for tensor in tensors if tensor is not None] + [None])
    tolerance = 1e-6 if dtype == torch.float32 else 2**-7
    assert_equal(results[:3], expected[:3], tolerance)
    assert not inplace
    assert kept >= 2 * tensors[0].nbytes


def test_training_in_place_in_bfloat16():
    tensors = arguments((2, 8, 3, 4, 5), torch.bfloat16, residual=False)
    tensors[1].abs_().add_(0.5)
    results, _, inplace = in_training(tensors)
    assert inplace
    assert_equal(results, outputs("naive", [tensor.double() for tensor in tensors[:3]] + [None]), 2**-6)


@pytest.mark.usefixtures("two_threads")
def test_threads_do_not_change_the_result():
    tensors = arguments((2, 16, 9, 20, 20), torch.float32)
    two = outputs("numba", tensors)
    torch.set_num_threads(1)
    one = outputs("numba", tensors)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.usefixtures("filled_memory")
def test_every_number_of_a_new_tensor_is_written():
    tensors = arguments((1, 6, 3, 5), torch.float32)
    filled = outputs("numba", tensors)
    torch.use_deterministic_algorithms(False)
    expected = outputs("numba", tensors)
    assert all(torch.equal(a, b) for a, b in zip(filled, expected, strict=True))


def test_float16_and_a_constant_image():
    x, weight, bias, residual = arguments((1, 4, 8, 8), torch.float16)
    y = instance_norm(x, weight, bias, residual, backend="numba")
    torch.testing.assert_close(y, instance_norm(x, weight, bias, residual, backend="naive"), rtol=2e-3, atol=2e-3)
    constant = instance_norm(torch.full((1, 4, 8, 8), 7.0), weight, bias, backend="numba")
    torch.testing.assert_close(constant, bias[:, None, None].expand(1, 4, 8, 8))


def test_compiles_and_exports():
    x, weight, bias, residual = arguments((1, 4, 6, 6), torch.float32)

    def call(x, residual):
        return instance_norm(x, weight, bias, residual, negative_slope=0.1)

    traced = torch.jit.trace(call, (x, residual))
    assert namespaces(traced.inlined_graph) <= {"aten", "prim"}
    torch.testing.assert_close(traced(x, residual), call(x, residual))
    torch.library.opcheck(
        torch.ops.scanseg.instance_norm_numba.default, (x.requires_grad_(), weight, bias, residual, 1e-5, 0.1)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(1, 3, 4)}, "needs a feature map"),
        ({"weight": torch.zeros(2)}, r"needs weight and bias \(3,\), got \(2,\)"),
        ({"residual": torch.zeros(1, 3, 4, 5)}, "needs a residual of the shape of x"),
        ({"negative_slope": -0.1}, "from 0 to 1, got -0.1"),
        ({"x": torch.zeros(1, 3, 1, 1)}, "more than one voxel"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"x": torch.zeros(1, 3, 4, 4), "weight": torch.zeros(3), "bias": torch.zeros(3), **change}
    with pytest.raises(ValueError, match=message):
        instance_norm(**arguments)


def test_the_back_end_can_be_forced():
    x, weight, bias, _ = arguments((1, 3, 4, 4), torch.float32)
    with use_backend("instance_norm", "naive"):
        assert torch.equal(instance_norm(x, weight, bias), instance_norm(x, weight, bias, backend="naive"))
