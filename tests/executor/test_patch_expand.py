"""Large-kernel patch expanding against the published order of operations, with explicit indices."""

import pytest
import torch
import torch.nn.functional as F

from components.blocks.patch_expand import PatchExpand
from components.executor import patch_expand
from components.executor.patch_expand import expand


def block(*arguments, **options):
    torch.manual_seed(0)
    layer = PatchExpand(*arguments, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
        layer.batch_norm.running_mean.normal_()
        layer.batch_norm.running_var.uniform_(0.5, 2)
    return layer


def as_published(layer, x, scale, channels):
    """Rearrange "b (p1 p2 c) h w -> b c (h p1) (w p2)" pixel by pixel, then norm, then the head."""
    x = F.relu(layer.batch_norm(layer.expand(x)))
    x = layer.depthwise(x)
    batch, _, height, width = x.shape
    moved = x.new_zeros(batch, channels, scale * height, scale * width)
    for p1 in range(scale):
        for p2 in range(scale):
            for c in range(channels):
                moved[:, c, p1::scale, p2::scale] = x[:, (p1 * scale + p2) * channels + c]
    y = F.layer_norm(moved.movedim(1, -1), (channels,), layer.norm.weight, layer.norm.bias).movedim(-1, 1)
    if isinstance(layer.head, torch.nn.Linear):
        y = F.conv2d(y, layer.head.weight[:, :, None, None], layer.head.bias)
    return y


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("in_channels", "out_channels", "scale", "head"), [(8, 4, 2, None), (6, 6, 4, 3), (4, 3, 3, None)]
)
def test_outputs_and_gradients(in_channels, out_channels, scale, head, layout, training):
    layer = block(in_channels, out_channels, scale=scale, head_channels=head).train(training)
    x = torch.randn(2, in_channels, 3, 5, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    results = []
    for forward in (lambda x: as_published(layer, x, scale, out_channels), layer, lambda x: expand(layer, x)):
        y = forward(x)
        assert y.shape == (2, head or out_channels, 3 * scale, 5 * scale)
        weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).reshape(y.shape)
        results.append((y, *torch.autograd.grad(y, [x, *layer.parameters()], weights)))
    for actual in results[1:]:
        torch.testing.assert_close(actual, results[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("head", [None, 3])
def test_channels_last_stays(head):
    layer = block(8, 4, scale=2, head_channels=head)
    x = torch.randn(2, 8, 3, 5, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    assert expand(layer, x).is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert expand(layer.eval(), x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("stripe", [1, 2 * 96 * 5 * 8, 2**21])
@pytest.mark.parametrize("batch", [1, 3])
def test_without_gradients_the_norm_is_inside_of_the_convolution(batch, layout, stripe, monkeypatch):
    layer = block(6, 6, scale=4, head_channels=3).eval()
    x = torch.randn(batch, 6, 3, 5, dtype=torch.float64).contiguous(memory_format=layout)
    expected, kept = as_published(layer, x, 4, 6), x.clone()
    monkeypatch.setattr(layer.batch_norm, "forward", None)
    monkeypatch.setattr(patch_expand, "STRIPE", stripe)
    with torch.no_grad():
        torch.testing.assert_close(expand(layer, x), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(x, kept)


def test_norm_of_batches_without_running_statistics_stays():
    layer = block(6, 6, scale=4).eval()
    layer.batch_norm = torch.nn.BatchNorm2d(96, track_running_stats=False).double().eval()
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(expand(layer, x), as_published(layer, x, 4, 6), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_are_those_of_batch_norm(momentum):
    layer = block(4, 4, scale=4, head_channels=3)
    assert patch_expand.folds_batch(layer, torch.zeros(1, 4, 3, 5))
    reference = torch.nn.BatchNorm2d(64, momentum=momentum).double()
    reference.load_state_dict(layer.batch_norm.state_dict())
    layer.batch_norm.momentum = momentum
    for scale in (1, 2, 3):
        x = scale * torch.randn(2, 4, 3, 5, dtype=torch.float64) + 5
        expand(layer, x)
        reference(layer.expand(x))
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(layer.batch_norm.state_dict()[name], value, rtol=1e-12, atol=1e-12)


def test_folded_training_in_float32_with_means_far_from_zero():
    layer = block(4, 4, scale=4, head_channels=3)
    x = torch.randn(2, 4, 20, 20, dtype=torch.float64) + 100
    expected = layer(x)
    torch.testing.assert_close(expand(layer.float(), x.float()).double(), expected, rtol=1e-3, atol=1e-3)


def test_one_pixel_cannot_be_normalised():
    with pytest.raises(ValueError, match="more than 1 value"):
        expand(block(4, 4, scale=4), torch.zeros(1, 4, 1, 1, dtype=torch.float64))


def test_a_frozen_batch_norm_stays_frozen_in_training():
    layer = block(6, 6, 4, head_channels=3).train()
    layer.batch_norm.eval()
    before = layer.batch_norm.running_mean.clone()
    x = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(expand(layer, x), as_published(layer, x, 4, 6))
    torch.testing.assert_close(layer.batch_norm.running_mean, before, rtol=0, atol=0)
