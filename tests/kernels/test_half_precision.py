"""Half-precision input beside float32 parameters, as in mixed precision: every back end of each operator that has any.

The parameters stay as they are, so the result is the exact one, rounded once. A back end that rounds its parameters
to the input's dtype doubles the error. Convolutions are the exception, as in PyTorch: autocast rounds their weights.
"""

from typing import NamedTuple

import pytest
import torch
from torch.nn import functional as F

from components import kernels
from components.executor.convolution import convolve
from components.executor.interpolated import convolve_interpolated
from components.kernels.layout import channels_last

HALF = [torch.float16, torch.bfloat16]


class Arguments(NamedTuple):
    """Tensors that the network computes, and parameters."""

    inputs: list[torch.Tensor]
    parameters: list[torch.Tensor]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def selective_scan():
    batch, groups, rows, states, length = 2, 2, 6, 2, 9
    inputs = [normal(batch, rows, length), normal(batch, rows, length, seed=1)]
    inputs += [normal(batch, groups, states, length, seed=seed) for seed in (2, 3)]
    return Arguments(inputs, [-normal(rows, states).exp(), normal(rows, seed=1), normal(rows, seed=2)])


def cross_selective_scan():
    channels, rank, states = 6, 2, 1
    sizes = (
        (4, rank + 2 * states, channels),
        (4, channels, rank),
        (4, channels),
        (4 * channels, states),
        (4 * channels,),
    )
    return Arguments([normal(2, channels, 5, 4)], [normal(*size, seed=seed) for seed, size in enumerate(sizes)])


def instance_norm():
    return Arguments([2 * normal(2, 32, 9, 8) + 3], [normal(32), normal(32, seed=1)])


OPERATORS = {
    "selective_scan": (
        selective_scan,
        lambda u, delta, B, C, A, D, bias, **backend: kernels.selective_scan(
            u, delta, A, B, C, D, bias, True, **backend
        ),
    ),
    "cross_selective_scan": (cross_selective_scan, kernels.cross_selective_scan),
    "instance_norm": (instance_norm, kernels.instance_norm),
}
BACK_ENDS = [
    (op, record.name)
    for op in OPERATORS
    for record in kernels.backends(op)
    if record.available and not (op == "cross_selective_scan" and record.name == "triton")  # that of selective_scan
]


def relative(result, exact):
    return ((result.double() - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize(("op", "backend"), BACK_ENDS)
def test_parameters_stay_float32(op, backend, dtype):
    make, call = OPERATORS[op]
    inputs, parameters = make()
    leaves = [*(tensor.to(dtype) for tensor in inputs), *parameters]
    exact = [leaf.double().requires_grad_() for leaf in leaves]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    wanted = call(*exact, backend="naive")
    dy = normal(*wanted.shape, seed=7).to(dtype)
    y = call(*leaves, backend=backend)
    assert y.dtype == dtype
    eps = torch.finfo(dtype).eps
    assert relative(y, wanted) < eps / 3  # one rounding to nearest gives a fifth; with those of parameters it is more
    gradients = torch.autograd.grad(y, leaves, dy), torch.autograd.grad(wanted, exact, dy.double())
    for leaf, gradient, right in zip(leaves, *gradients, strict=True):
        assert gradient.dtype == leaf.dtype
        assert relative(gradient, right) < (eps / 2 if leaf.dtype == dtype else 1e-5)


def convolution(x, weight, bias):
    return convolve(x, weight, bias, (1, 1), (1, 1))


def interpolated(x, weight, bias):
    return convolve_interpolated(x, (2, 2), weight, bias)


def depthwise(backend):
    return lambda x, weight, _: kernels.depthwise_conv(x, weight[:, :1], backend=backend)


CONVOLUTIONS = {
    "convolve": (convolution, lambda x, weight, bias: F.conv2d(x, weight, bias, padding=1)),
    "convolve_interpolated": (
        interpolated,
        lambda x, weight, bias: F.conv2d(F.interpolate(x, scale_factor=2.0), weight, bias, padding=1),
    ),
} | {
    f"depthwise_conv, {record.name}": (
        depthwise(record.name),
        lambda x, weight, bias: F.conv2d(x, weight[:, :1], padding=1, groups=len(weight)),
    )
    for record in kernels.backends("depthwise_conv")
    if record.available
}


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_under_autocast(name, dtype):
    """Input and weights in the dtype of autocast, sums in float32, one rounding."""
    ours, exact = CONVOLUTIONS[name]
    x, weight, bias = channels_last(normal(2, 6, 7, 8)), normal(6, 6, 3, 3), normal(6)
    wanted = exact(*(tensor.to(dtype).double() for tensor in (x, weight, bias)))
    with torch.no_grad(), torch.autocast("cpu", dtype):
        y = ours(x, weight, bias)
    assert y.dtype == dtype
    assert relative(y, wanted) < torch.finfo(dtype).eps / 2
