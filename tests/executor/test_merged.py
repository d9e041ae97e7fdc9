"""Convolutions of what a decoder merges, with gradients, beside PyTorch's of the merged map."""

import pytest
import torch
from torch.nn import functional as F

from components.executor import convolution, merged
from components.kernels.layout import channels_last


def tensors(size, factor, kernel, skips, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    fine = [a * b for a, b in zip(size, factor, strict=True)]
    x, skip = (channels_last(numbers(2, *shape)) for shape in ((3, *size), (4, *fine)))
    found = x, skip if skips else None, numbers(5, 7 if skips else 3, *kernel), numbers(5)
    return [None if tensor is None else tensor.requires_grad_() for tensor in found]


def expected(x, factor, skip, weight, bias):
    fine = F.interpolate(x, scale_factor=[float(number) for number in factor], mode="nearest")
    fine = fine if skip is None else torch.cat([fine, skip], 1)
    convolve = {4: F.conv2d, 5: F.conv3d}[x.ndim]
    return convolve(fine, weight, bias, 1, [size // 2 for size in weight.shape[2:]])


@pytest.mark.parametrize("slab", [1, 2**24])
@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize(
    ("size", "factor", "kernel"),
    [
        ((3, 4, 5), (1, 2, 2), (1, 3, 3)),
        ((4, 3, 5), (2, 2, 2), (3, 3, 3)),
        ((4, 5, 3), (1, 2, 3), (3, 5, 3)),
        ((2, 3, 4), (2, 1, 2), (1, 1, 1)),
        ((4, 5), (2, 2), (3, 3)),
    ],
)
def test_is_the_convolution_with_its_gradients(size, factor, kernel, skips, slab, monkeypatch):
    monkeypatch.setattr(convolution, "SLAB", slab)
    x, skip, weight, bias = tensors(size, factor, kernel, skips)
    leaves = [leaf for leaf in (x, skip, weight, bias) if leaf is not None]
    y, wanted = merged.convolve_merged(x, factor, skip, weight, bias), expected(x, factor, skip, weight, bias)
    assert y.movedim(1, -1).is_contiguous()
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results, values = [y, *torch.autograd.grad(y, leaves, dy)], [wanted, *torch.autograd.grad(wanted, leaves, dy)]
    torch.testing.assert_close(results, values, rtol=1e-10, atol=1e-10)


def test_keeps_its_parts_only():
    x, skip, weight, bias = tensors((3, 4, 5), (1, 2, 2), (1, 3, 3), True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        merged.convolve_merged(x, (1, 2, 2), skip, weight, bias)
    assert {tensor.data_ptr() for tensor in kept} == {tensor.data_ptr() for tensor in (x, skip, weight)}


def test_autocast():
    x, skip, weight, bias = tensors((3, 4, 5), (1, 2, 2), (1, 3, 3), True, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = merged.convolve_merged(x, (1, 2, 2), skip, weight, bias)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected(x, (1, 2, 2), skip, weight, bias), rtol=0.05, atol=0.2)
    y.float().sum().backward()
    assert x.grad.dtype == weight.grad.dtype == torch.float32


def test_gradients_of_what_needs_them():
    x, skip, weight, bias = tensors((3, 4), (2, 2), (3, 3), True)
    y = merged.convolve_merged(x.detach(), (2, 2), skip, weight.detach(), bias)
    wanted = expected(x.detach(), (2, 2), skip, weight.detach(), bias)
    for result, value in zip(*(torch.autograd.grad(z.square().sum(), [skip, bias]) for z in (y, wanted)), strict=True):
        torch.testing.assert_close(result, value)
