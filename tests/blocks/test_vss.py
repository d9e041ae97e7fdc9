"""The VSS block and its parts against the published formulas, and its recomputation in the backward pass."""

import pytest
import torch
import torch.nn.functional as F

from components.blocks.activation_checkpointing import run_blocks
from components.blocks.vss import SS2D, FeedForward, MultiScaleDepthwise, VSSBlock
from components.kernels import cross_selective_scan

BLOCKS = {
    "SS2D": lambda: SS2D(8),
    "SS2D of 3 states": lambda: SS2D(8, state_size=3),
    "FFN": lambda: FeedForward(8),
    "MS-FFN": lambda: FeedForward(8, multi_scale=True),
    "VSS": lambda: VSSBlock(8),
    "multi-scale VSS": lambda: VSSBlock(8, multi_scale=True),
}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def randomised(block):
    torch.manual_seed(0)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return block.double()


def image(channels=8, layout="channels last"):
    torch.manual_seed(1)
    x = torch.randn(2, channels, 4, 7, dtype=torch.float64)
    return x.contiguous(memory_format=LAYOUTS[layout]).requires_grad_()


def assert_same(block, reference, x):
    """Outputs, and gradients of the input and of all parameters."""
    inputs = [x, *block.parameters()]
    results = []
    for function in (block, reference):
        y = function(x)
        weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).reshape(y.shape)
        results.append((y, *torch.autograd.grad(y, inputs, weights)))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel_sizes", [(1, 3, 5), (3,), (1, 7)], ids=str)
def test_merged_kernel_is_the_sum_of_the_convolutions(kernel_sizes, layout):
    block = randomised(MultiScaleDepthwise(8, kernel_sizes))
    assert [conv.weight.shape[2:] for conv in block.convs] == [(size, size) for size in kernel_sizes]
    assert_same(block, lambda u: u + sum(conv(u) for conv in block.convs), image(layout=layout))


@pytest.mark.parametrize("multi_scale", [False, True])
def test_feed_forward(multi_scale):
    block = randomised(FeedForward(8, multi_scale))

    def reference(x):
        u = F.gelu(F.conv2d(x, block.fc1.weight[:, :, None, None], block.fc1.bias))
        if multi_scale:
            u = u + sum(conv(u) for conv in block.multi_scale.convs)
        return F.conv2d(u, block.fc2.weight[:, :, None, None], block.fc2.bias)

    assert block.fc1.out_features == 32
    assert_same(block, reference, image())


@pytest.mark.parametrize("state_size", [1, 3])
def test_ss2d(state_size):
    block = randomised(SS2D(8, state_size))

    def reference(x):
        x = F.conv2d(x, block.in_proj.weight[:, :, None, None])
        x = F.silu(F.conv2d(x, block.conv.weight, padding=1, groups=8))
        scan = (block.x_proj_weight, block.dt_projs_weight, block.dt_projs_bias, block.A_logs, block.Ds)
        x = cross_selective_scan(x, *scan, backend="naive").movedim(1, -1)
        x = F.layer_norm(x, (8,), block.out_norm.weight, block.out_norm.bias).movedim(-1, 1)
        return F.conv2d(x, block.out_proj.weight[:, :, None, None])

    assert_same(block, reference, image())


def test_two_residual_branches():
    block = randomised(VSSBlock(8, multi_scale=True))

    def reference(x):
        x = x + block.ss2d(block.norm1(x))
        return x + block.ffn(block.norm2(x))

    assert_same(block, reference, image())


def test_drop_path_skips_whole_samples_in_training_only():
    torch.manual_seed(0)
    block = randomised(VSSBlock(8, drop_path=0.5))
    x = image()[:1].detach().expand(64, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    outputs = block.train()(x)
    unchanged = (outputs == x).flatten(1).all(1)
    assert 0 < unchanged.sum() < 64
    assert len(torch.unique(outputs.flatten(1).round(decimals=6), dim=0)) == 4  # each branch is there or not
    torch.testing.assert_close(block.eval()(x), block.eval()(x[:1]).expand_as(x))


@pytest.mark.parametrize("name", BLOCKS)
def test_channels_last_stays(name):
    block, x = BLOCKS[name]().double(), image()
    y = block(x)
    assert y.shape == x.shape
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", BLOCKS)
def test_memory_layout_makes_no_difference(name):
    block = randomised(BLOCKS[name]())
    torch.testing.assert_close(block(image()), block(image(layout="contiguous")), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_recomputation_gives_equal_gradients(drop_path):
    blocks = torch.nn.ModuleList(randomised(VSSBlock(8, drop_path)) for _ in range(2)).train()
    results = []
    for use_checkpoint in (False, True):
        x = image()
        torch.manual_seed(2)
        y = run_blocks(blocks, x, use_checkpoint)
        results.append((y, *torch.autograd.grad(y.square().sum(), [x, *blocks.parameters()])))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


def test_recomputation_keeps_only_the_inputs_of_the_blocks():
    blocks = torch.nn.ModuleList(VSSBlock(8) for _ in range(3)).train()
    kept = []
    for use_checkpoint in (False, True):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: s.append(t.nbytes) or t, lambda t: t):
            run_blocks(blocks, image().float(), use_checkpoint)
        kept.append(sum(sizes))
    assert kept[1] <= 3 * image().float().nbytes
    assert kept[1] < kept[0] / 10
