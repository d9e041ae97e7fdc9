"""Convolutions by slabs, of interpolated maps and in place, beside PyTorch's."""

import pytest
import torch
from torch.nn import functional as F

from components.executor import convolution, interpolated
from components.kernels.layout import channels_last

SLABS = [1, 2000, 2**24]


def maps(size, kernel, features=6, dtype=torch.float64, batch=2, channels=6):
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        for shape in ((batch, channels, *size), (features, channels, *kernel), (features,))
    )
    return channels_last(x), weight, bias


def expected(x, weight, bias, stride=None):
    convolve = {4: F.conv2d, 5: F.conv3d}[x.ndim]
    return convolve(x, weight, bias, stride or 1, [size // 2 for size in weight.shape[2:]])


@pytest.mark.parametrize("slab", SLABS)
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [
        ((7, 5, 4), (3, 3, 3), (1, 1, 1)),
        ((7, 5, 4), (1, 3, 3), (1, 1, 1)),
        ((8, 6, 4), (3, 3, 3), (2, 1, 2)),
        ((8, 6, 4), (1, 1, 1), (2, 2, 1)),
        ((9, 6), (7, 3), (1, 1)),
        ((9, 6), (1, 1), (1, 1)),
    ],
)
def test_is_the_convolution(size, kernel, stride, inplace, slab, monkeypatch):
    monkeypatch.setattr(convolution, "SLAB", slab)
    x, weight, bias = maps(size, kernel)
    wanted = expected(x, weight, bias, stride)
    before = x.clone()
    with torch.no_grad():
        y = convolution.convolve(x, weight, bias, stride, [edge // 2 for edge in kernel], inplace)
    torch.testing.assert_close(y, wanted)
    assert y.movedim(1, -1).is_contiguous()
    overwritten = inplace and max(stride) == 1
    assert (y.data_ptr() == x.data_ptr()) == overwritten
    if not overwritten:
        torch.testing.assert_close(x, before, rtol=0, atol=0)


@pytest.mark.parametrize("slab", SLABS)
def test_other_numbers_of_channels_are_never_in_place(slab, monkeypatch):
    monkeypatch.setattr(convolution, "SLAB", slab)
    x, weight, bias = maps((4, 5, 6), (3, 3, 3), features=5)
    with torch.no_grad():
        y = convolution.convolve(x, weight, bias, (1, 1, 1), (1, 1, 1), inplace=True)
    torch.testing.assert_close(y, expected(x, weight, bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_slabs_by_onednn(dtype, monkeypatch):
    monkeypatch.setattr(convolution, "SLAB", 1)
    x, weight, bias = maps((4, 9, 8), (3, 3, 3), dtype=dtype)
    with torch.no_grad():
        y = convolution.convolve(x, weight, bias, (1, 1, 1), (1, 1, 1))
        wanted = expected(x.double(), weight.double(), bias.double())
    assert y.dtype == dtype
    worst = (y.double() - wanted).abs().max() / wanted.abs().max()
    assert worst < {torch.float32: 1e-6, torch.bfloat16: 1e-2}[dtype]


@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 1, 1)])
def test_autocast_decides_on_the_dtype(kernel):
    x, weight, bias = maps((4, 6, 5), kernel, dtype=torch.float32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        y = convolution.convolve(x, weight, bias, (1, 1, 1), [edge // 2 for edge in kernel], inplace=True)
        wanted = expected(x, weight, bias)
        merged = interpolated.convolve_interpolated(x, (2, 2, 2), weight, bias)
    assert y.dtype == wanted.dtype == merged.dtype == torch.bfloat16
    torch.testing.assert_close(y, wanted, rtol=2e-2, atol=2e-2)
    assert y.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("slab", SLABS)
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize(
    ("size", "factor", "kernel"),
    [
        ((3, 5, 4), (2, 2, 2), (3, 3, 3)),
        ((3, 5, 4), (1, 2, 2), (1, 3, 3)),
        ((4, 5, 3), (1, 2, 2), (3, 3, 3)),
        ((3, 5, 4), (2, 1, 3), (3, 5, 3)),
        ((4, 5, 3), (2, 2, 2), (1, 1, 1)),
        ((1, 2, 1), (2, 2, 2), (3, 3, 3)),
        ((4, 5), (3, 2), (1, 7)),
        ((4, 5), (1, 1), (3, 3)),
    ],
)
def test_interpolated(size, factor, kernel, adds, slab, monkeypatch):
    monkeypatch.setattr(convolution, "SLAB", slab)
    x, weight, bias = maps(size, kernel, features=5)
    wanted = expected(F.interpolate(x, scale_factor=[float(number) for number in factor]), weight, bias)
    onto = channels_last(torch.ones_like(wanted)) if adds else None
    with torch.no_grad():
        y = interpolated.convolve_interpolated(x, factor, weight, bias, onto)
    torch.testing.assert_close(y, wanted + 1 if adds else wanted)
    assert y.movedim(1, -1).is_contiguous()
    assert onto is None or y.data_ptr() == onto.data_ptr()


def test_a_map_of_one_slab_alone_is_new():
    x, weight, bias = maps((4, 5), (3, 3), batch=1)
    with torch.no_grad():
        y = convolution.convolve(x, weight, bias, (1, 1), (1, 1), inplace=True)
    torch.testing.assert_close(y, expected(x, weight, bias))
    assert y.movedim(1, -1).is_contiguous()
    assert y.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("slab", SLABS)
def test_maps_of_a_batch_are_as_if_alone(slab, monkeypatch):
    monkeypatch.setattr(convolution, "SLAB", slab)
    x, weight, bias = maps((6, 7, 8), (3, 3, 3), dtype=torch.float32, batch=3)
    with torch.no_grad():
        together, *alone = (convolution.convolve(part, weight, bias, [1] * 3, [1] * 3) for part in (x, *x.split(1)))
    assert torch.equal(together, torch.cat(alone))
