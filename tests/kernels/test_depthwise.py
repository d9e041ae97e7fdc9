"""Depthwise convolution: every back end against the definition, in values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from components.kernels import depthwise_conv

SHAPES = [(2, 3, 5, 7, 5), (1, 130, 4, 3, 5), (3, 8, 1, 1, 3), (2, 5, 2, 9, 7), (1, 4, 6, 8, 1)]
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def arguments(shape, dtype=torch.float64, layout="channels last"):
    batch, channels, height, width, size = shape
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(batch, channels, height, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(channels, 1, size, size, generator=generator, dtype=torch.float64)
    return x.to(dtype).contiguous(memory_format=LAYOUTS[layout]), weight.to(dtype)


def outputs(backend, tensors):
    x, weight = (tensor.detach().requires_grad_() for tensor in tensors)
    y = depthwise_conv(x, weight, backend=backend)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64).to(y.dtype)
    return y, *torch.autograd.grad(y, [x, weight], dy)


def assert_equal(results, expected, tolerance):
    for name, result, value in zip(("y", "dx", "dweight"), results, expected, strict=True):
        scale = value.double().abs().max()
        assert ((result.double() - value.double()).abs().max() / scale) <= tolerance, name


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_back_ends_agree_with_the_definition(backend, layout, shape):
    tensors = arguments(shape, layout=layout)
    assert_equal(outputs(backend, tensors), outputs("naive", tensors), 1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-7)])
def test_lower_precision(dtype, tolerance):
    tensors = arguments((2, 8, 30, 41, 5), dtype)
    results = outputs("numba", tensors)
    assert {result.dtype for result in results} == {dtype}
    assert_equal(results, outputs("naive", [tensor.double() for tensor in tensors]), tolerance)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_autocast_computes_in_bfloat16(backend):
    x, weight = (tensor.requires_grad_() for tensor in arguments((1, 4, 5, 6, 5), torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        y = depthwise_conv(x, weight, backend=backend)
    expected = outputs("naive", [tensor.bfloat16() for tensor in (x, weight)])
    assert y.dtype == torch.bfloat16
    gradients = torch.autograd.grad(y.float().sum(), [x, weight])
    assert [gradient.dtype for gradient in gradients] == [torch.float32] * 2
    assert (y - expected[0]).abs().max() <= 2**-6 * expected[0].abs().max()


def test_gradients_by_finite_differences():
    leaves = [tensor.requires_grad_() for tensor in arguments((2, 3, 4, 6, 3))]
    assert torch.autograd.gradcheck(lambda *tensors: depthwise_conv(*tensors, backend="numba"), leaves)


@pytest.mark.parametrize("leaf", [0, 1])
def test_gradient_of_one_of_both(leaf):
    tensors = list(arguments((2, 3, 4, 6, 5)))
    expected = outputs("numba", tensors)[1 + leaf]
    tensors[leaf].requires_grad_()
    y = depthwise_conv(*tensors, backend="numba")
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    # Not bit for bit: PyTorch may compute one gradient alone in another way than two.
    torch.testing.assert_close(torch.autograd.grad(y, tensors[leaf], dy)[0], expected, rtol=1e-13, atol=1e-13)


def test_no_second_derivative_of_the_kernel():
    x, weight = (tensor.requires_grad_() for tensor in arguments((1, 3, 4, 6, 5)))
    y = depthwise_conv(x, weight, backend="numba")
    (gradient,) = torch.autograd.grad(y.square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        gradient.sum().backward()


@pytest.mark.usefixtures("two_threads")
def test_threads_do_not_change_the_result():
    tensors = arguments((2, 300, 9, 20, 5), torch.float32)
    two = outputs("numba", tensors)
    torch.set_num_threads(1)
    one = outputs("numba", tensors)
    assert torch.equal(one[2], two[2])


@pytest.mark.usefixtures("filled_memory")
def test_every_number_of_a_new_tensor_is_written():
    tensors = arguments((1, 6, 3, 5, 5))
    filled = outputs("numba", tensors)
    torch.use_deterministic_algorithms(False)
    expected = outputs("numba", tensors)
    assert all(torch.equal(a, b) for a, b in zip(filled, expected, strict=True))


def test_an_empty_batch():
    x, weight = (tensor.requires_grad_() for tensor in arguments((1, 3, 4, 6, 5)))
    y = depthwise_conv(x[:0], weight, backend="numba")
    assert y.shape == (0, 3, 4, 6)
    assert not torch.autograd.grad(y.sum(), weight)[0].any()


def test_compiled_without_a_break():
    tensors = [tensor.requires_grad_() for tensor in arguments((1, 3, 4, 6, 5), torch.float32)]
    compiled = torch.compile(depthwise_conv, fullgraph=True, backend="aot_eager")
    results = [torch.autograd.grad(f(*tensors).square().sum(), tensors) for f in (compiled, depthwise_conv)]
    for result, expected in zip(*results, strict=True):
        torch.testing.assert_close(result, expected)


@pytest.mark.parametrize(
    ("x", "weight", "message"),
    [
        ((1, 3, 4), (3, 1, 3, 3), "image"),
        ((1, 3, 4, 4), (3, 1, 4, 4), "odd"),
        ((1, 3, 4, 4), (3, 1, 3, 5), r"\(3, 1, size, size\)"),
        ((1, 3, 4, 4), (2, 1, 3, 3), r"\(3, 1, size, size\)"),
        ((1, 3, 4, 4), (3, 3, 3), "odd size, got"),
    ],
)
def test_shapes_that_do_not_fit(x, weight, message):
    with pytest.raises(ValueError, match=message):
        depthwise_conv(torch.zeros(x), torch.zeros(weight))


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_equals_pytorch(backend):
    x, weight = arguments((2, 8, 6, 7, 5), torch.float32)
    assert torch.equal(depthwise_conv(x, weight, backend=backend), F.conv2d(x, weight, padding=2, groups=8))
