"""Random arguments of the selective scan, and the comparison of a back end with the definition."""

import torch

from components.kernels.ops.selective_scan import naive

NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")
TOLERANCE = {torch.float32: 5e-6, torch.float64: 1e-13}


def arguments(batch, groups, per_group, states, length, dtype=torch.float64, device="cpu", seed=0):
    """u, delta, A, B, C, D and delta_bias; the same numbers in every dtype."""
    generator = torch.Generator().manual_seed(seed)
    rows, plane = groups * per_group, (batch, groups, states, length)
    sizes = ((batch, rows, length), (batch, rows, length), (rows, states), plane, plane, (rows,), (rows,))
    tensors = [torch.randn(size, generator=generator, dtype=torch.float64).to(device, dtype) for size in sizes]
    tensors[2] = -tensors[2].exp()
    return [tensor.requires_grad_() for tensor in tensors]


def outputs(function, tensors, *options, names=NAMES):
    """The result and the gradient of every argument, by name."""
    y = function(*tensors, *options)
    weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).reshape(y.shape).to(y)
    given = {name: tensor for name, tensor in zip(names, tensors, strict=True) if tensor is not None}
    gradients = torch.autograd.grad(y, list(given.values()), weights)
    return {"y": y.detach(), **dict(zip(given, gradients, strict=True))}


def assert_same(function, tensors, softplus=True):
    """Equal to the definition in float64, up to the rounding of the dtype, relative to the largest value."""
    exact = [None if tensor is None else tensor.detach().double().requires_grad_() for tensor in tensors]
    assert_close(outputs(function, tensors, softplus), outputs(naive.selective_scan, exact, softplus))


def assert_close(actual, expected):
    """Equal by name, up to ``TOLERANCE`` of the dtype of the actual values, relative to the largest value."""
    assert actual.keys() == expected.keys()
    dtype = actual["y"].dtype
    for name, tensor in actual.items():
        assert tensor.dtype == dtype, name
        scale = expected[name].abs().max().clamp(min=1.0).item()
        torch.testing.assert_close(
            tensor.double(), expected[name].double(), rtol=0, atol=TOLERANCE[dtype] * scale,
            msg=lambda m, name=name: f"{name}: {m}",
        )  # fmt: skip


def assert_equal(actual, expected):
    """The same bits, by name."""
    assert actual.keys() == expected.keys()
    for name, tensor in actual.items():
        assert torch.equal(tensor, expected[name]), name
