"""Blocks run as they are written where somebody looks inside, and give the same."""

import pytest
import torch
from torch import nn

from components.blocks.patch_expand import PatchExpand
from components.blocks.residual import ResidualBlock, ResidualUpBlock
from components.blocks.vss import VSSUpBlock
from components.executor import execution, residual
from components.networks import MSVMUNet, XLSTMUNet

NETWORKS = {
    "xlstm": lambda: XLSTMUNet(3, 2, 3, "enc", (8, 16, 16), (4, 8, 8, 8), [3] * 4, [1, 2, 2, 2], deep_supervision=True),
    "msvm": lambda: MSVMUNet(2, 3, features=[8, 16, 32, 64], depths=[1, 1, 1, 1], drop_path_rate=0.0),
}
INPUTS = {"xlstm": (1, 2, 8, 16, 16), "msvm": (2, 2, 64, 64)}
COARSER_HEADS = ("heads.0", "heads.1")
LAYERS = (
    nn.Conv2d,
    nn.Conv3d,
    nn.InstanceNorm3d,
    nn.BatchNorm2d,
    ResidualBlock,
    ResidualUpBlock,
    PatchExpand,
    VSSUpBlock,
)


@pytest.fixture(params=NETWORKS)
def network(request, monkeypatch):
    monkeypatch.setattr(execution, "LARGE_INPUT", 0)
    monkeypatch.setattr(residual, "FEW", 0)
    torch.manual_seed(0)
    network = NETWORKS[request.param]().double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    return network, torch.randn(INPUTS[request.param], dtype=torch.float64)


@pytest.mark.parametrize("gradients", [False, True])
def test_hooks_see_every_layer_and_its_map(network, gradients):
    network, x = network
    network.train(gradients)
    seen = {}
    with torch.set_grad_enabled(gradients):
        torch.manual_seed(1)
        expected = network(x)
        for name, module in network.named_modules():
            if isinstance(module, LAYERS):
                module.register_forward_hook(lambda _, inputs, y, name=name: seen.update({name: (y, y.clone())}))
        torch.manual_seed(1)
        torch.testing.assert_close(network(x), expected)
    for name, module in network.named_modules():
        if isinstance(module, LAYERS) and "multi_scale" not in name and (gradients or name not in COARSER_HEADS):
            now, then = seen[name]
            assert torch.equal(now, then) or name.endswith("norm1"), name  # which is activated in place


class Doubled(nn.Module):
    """Stands for an adapter around a convolution."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.weight, self.bias = layer, layer.weight, layer.bias
        self.stride, self.padding, self.kernel_size = layer.stride, layer.padding, layer.kernel_size

    def forward(self, x):
        return 2 * self.layer(x)


def test_a_replaced_layer_is_called():
    """Of blocks whose layers are otherwise read."""
    torch.manual_seed(0)
    for name, block, layer in (("xlstm", "decoder.2.blocks.0", "shortcut"), ("msvm", "head", "expand")):
        network, x = NETWORKS[name]().double().eval(), torch.randn(INPUTS[name], dtype=torch.float64)
        parent = network.get_submodule(block)
        setattr(parent, layer, Doubled(getattr(parent, layer)))
        expected = network(x).detach()
        with torch.no_grad():
            torch.testing.assert_close(network(x), expected)
