"""Convolutions as one matrix product, beside PyTorch's."""

import pytest
import torch
from torch.nn import functional as F

from components.executor import unfolded
from components.kernels.layout import channels_last

SHAPES = [
    ((4, 5), (3, 3), (1, 1)),
    ((5, 4), (3, 3), (2, 2)),
    ((3, 4, 5), (3, 3, 3), (1, 1, 1)),
    ((3, 5, 4), (1, 3, 3), (1, 2, 2)),
    ((1, 1, 1), (3, 3, 3), (2, 2, 2)),
]


def tensors(size, kernel, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 3, *size), (5, 3, *kernel), (5,)
    x, weight, bias = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    return [tensor.requires_grad_() for tensor in (channels_last(x), weight, bias)]


def convolve(x, weight, bias, stride):
    return {4: F.conv2d, 5: F.conv3d}[x.ndim](x, weight, bias, stride, [size // 2 for size in weight.shape[2:]])


@pytest.mark.parametrize(("size", "kernel", "stride"), SHAPES)
def test_is_the_convolution_with_its_gradients(size, kernel, stride):
    leaves = tensors(size, kernel)
    y = unfolded.convolve_unfolded(*leaves, stride, [length // 2 for length in kernel])
    wanted = convolve(*leaves, stride)
    assert y.movedim(1, -1).is_contiguous()
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results, values = [y, *torch.autograd.grad(y, leaves, dy)], [wanted, *torch.autograd.grad(wanted, leaves, dy)]
    torch.testing.assert_close(results, values, rtol=1e-12, atol=1e-12)


def test_keeps_the_map_and_the_weight_only():
    x, weight, bias = tensors((4, 5), (3, 3))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        unfolded.convolve_unfolded(x, weight, bias, (1, 1), (1, 1))
    assert {tensor.data_ptr() for tensor in kept} == {tensor.data_ptr() for tensor in (x, weight)}


def test_computes_in_the_dtype_of_autocast():
    x, weight, bias = tensors((4, 5), (3, 3), torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = unfolded.convolve_unfolded(x, weight, bias, (1, 1), (1, 1))
        wanted = convolve(x, weight, bias, (1, 1))
    assert y.dtype == wanted.dtype == torch.bfloat16
    leaves = [leaf.detach().double().requires_grad_() for leaf in (x, weight, bias)]
    exact = convolve(*leaves, (1, 1))
    found = [y, *torch.autograd.grad(y.sum(), (x, weight, bias))]
    for one, expected in zip(found, [exact, *torch.autograd.grad(exact.sum(), leaves)], strict=True):
        assert (one - expected).abs().max() <= 2**-7 * expected.abs().max()


@pytest.mark.parametrize(
    ("kernel", "size", "stride", "large"),
    [
        ((3, 3), (15, 17), 1, True),  # 255 positions, 256 features
        ((3, 3), (16, 16), 1, False),
        ((3, 3), (31, 16), 2, True),  # 16 · 8 positions
        ((1, 1), (2, 2), 1, False),
    ],
)
def test_weights_are_large_beside_what_they_meet(kernel, size, stride, large, monkeypatch):
    monkeypatch.setattr(unfolded, "LARGE", 2304)
    weight, x = torch.zeros(256, 1, *kernel), torch.zeros(1, 1, *size)
    assert unfolded.is_large(weight, x, [stride] * 2) == large
    monkeypatch.setattr(unfolded, "LARGE", 2305)
    assert not unfolded.is_large(weight, x, [stride] * 2)
