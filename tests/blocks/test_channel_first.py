"""Layers over the channel axis against their textbook forms."""

import pytest
import torch
import torch.nn.functional as F

from components.blocks.channel_first import LayerNorm2d, Linear2d

LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def image(layout, channels=6):
    torch.manual_seed(0)
    x = torch.randn(2, channels, 3, 5, dtype=torch.float64)
    return x.contiguous(memory_format=LAYOUTS[layout]).requires_grad_()


def randomised(layer):
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer.double()


def assert_same(layer, reference, x):
    """Outputs, and gradients of the input and of the parameters."""
    inputs = [x, *layer.parameters()]
    results = []
    for function in (layer, reference):
        y = function(x)
        weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).reshape(y.shape)
        results.append((y, *torch.autograd.grad(y, inputs, weights)))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layer_norm(layout):
    norm = randomised(LayerNorm2d(6))

    def reference(x):
        mean = x.mean(1, keepdim=True)
        variance = x.var(1, correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]

    assert_same(norm, reference, image(layout))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_linear_is_a_convolution_of_size_one(layout, bias):
    linear = randomised(Linear2d(6, 4, bias=bias))
    assert linear.weight.shape == (4, 6)
    assert_same(linear, lambda x: F.conv2d(x, linear.weight[:, :, None, None], linear.bias), image(layout))


@pytest.mark.parametrize("layer", [LayerNorm2d(6), Linear2d(6, 4)], ids=lambda layer: type(layer).__name__)
def test_channels_last_stays(layer):
    x = image("channels last")
    y = layer.double()(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
