"""Under autocast on CUDA each operation has the dtypes that it has in the authors' networks, seen without a GPU.

Fake tensors know shapes, dtypes and the device, so that autocast chooses as on CUDA. They cannot record gradients
without CUDA, so the networks run in training mode, which is what decides on the operations, but without gradients.
"""

import contextlib
from collections import Counter

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from components.blocks import vss
from components.blocks.vil import ViLLayer
from components.networks import MSVMUNet, XLSTMUNet

aten = torch.ops.aten
HALF, FULL = torch.float16, torch.float32
CONVOLUTION, BATCH_NORM, LAYER_NORM = aten.convolution, aten.native_batch_norm, aten.native_layer_norm
ACTIVATIONS = aten.leaky_relu, aten.leaky_relu_, aten.relu, aten.relu_, aten.gelu, aten.silu
PRODUCTS = aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.linear


class Calls(TorchDispatchMode):
    """Notes the dtypes of each call that computes: operator, of its floating-point arguments, of its first result."""

    def __init__(self):
        super().__init__()
        self.outside, self.inside, self.vil = [], [], False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, tuple | list) else result
        if isinstance(first, torch.Tensor):
            given = tuple(arg.dtype for arg in args if isinstance(arg, torch.Tensor) and arg.is_floating_point())
            noted = self.inside if self.vil else self.outside
            noted.append((function.overloadpacket, given, first.dtype))
        return result

    def of(self, *operators):
        """How often which dtypes were given and returned by the operators outside of ViL layers."""
        return Counter((given, result) for operator, given, result in self.outside if operator in operators)


@contextlib.contextmanager
def autocast():
    """torch.autocast("cuda"), which does nothing on a machine without CUDA."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", HALF)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", before[0])
        torch.set_autocast_dtype("cuda", before[1])


def calls(network, shape):
    """The calls of a forward pass under autocast on CUDA, and its outputs."""
    noted = Calls()

    def enter(module, inputs):
        noted.vil = True

    def leave(module, inputs, output):
        noted.vil = False

    for module in network.modules():
        if isinstance(module, ViLLayer):
            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)
    with torch.no_grad(), FakeTensorMode():
        tensors = dict(network.named_parameters()) | dict(network.named_buffers())
        tensors = {name: torch.empty(t.shape, dtype=t.dtype, device="cuda") for name, t in tensors.items()}
        layout = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
        x = torch.empty(shape, device="cuda", memory_format=layout)
        with autocast(), noted:
            outputs = torch.func.functional_call(network, tensors, (x,))
    return noted, outputs


def count(network, *kinds):
    return sum(isinstance(module, kinds) for module in network.modules())


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("variant", ["bot", "enc"])
def test_xlstm_unet(variant, spatial_dims, training):
    """Convolutions, norms' input and output, activations and heads half; norms' parameters and ViL layers float32."""
    size = (16, 32, 32)[-spatial_dims:]
    with torch.device("meta"):
        network = XLSTMUNet(
            spatial_dims, 2, 3, variant, size, [8, 16, 32, 64], [3] * 4, [1, 2, 2, 2], deep_supervision=True
        ).train(training)
    noted, outputs = calls(network, (2, 2, *size))
    heads = len(network.heads)
    convolutions = count(network, torch.nn.Conv2d, torch.nn.Conv3d) - (0 if training else heads - 1)
    norms = count(network, torch.nn.InstanceNorm2d, torch.nn.InstanceNorm3d)
    assert noted.of(CONVOLUTION) == {((HALF,) * 3, HALF): convolutions}
    assert noted.of(BATCH_NORM) == {((HALF, FULL, FULL), HALF): norms}  # which instance norm is computed by
    assert noted.of(*ACTIVATIONS) == {((HALF,), HALF): norms}
    assert not noted.of(*PRODUCTS)
    assert {output.dtype for output in (outputs if training else [outputs])} == {HALF}
    assert count(network, ViLLayer)
    copies = [dtypes for operator, *dtypes in noted.inside if operator is aten._to_copy]
    assert copies == [[(HALF,), FULL], [(FULL,), HALF]] * count(network, ViLLayer)
    computed = {(*given, result) for operator, given, result in noted.inside if operator is CONVOLUTION}
    assert computed == {(FULL,) * 4}
    between = [call for call in noted.inside if call[0] is not aten._to_copy]
    assert sum(operator in PRODUCTS for operator, *_ in between) >= 4 * count(network, ViLLayer)
    viewed = {(operator, *dtypes) for operator, *dtypes in between if HALF in (*dtypes[0], dtypes[1])}
    assert viewed <= {(aten.view, (HALF,), HALF), (aten._unsafe_view, (HALF,), HALF)}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_msvm_unet(training, monkeypatch):
    """Convolutions and linear maps half, layer norms float32, the batch norms' parameters and the scan's float32."""
    scans = []

    def scan(x, *parameters):
        """In place of the operator, whose indexing needs CUDA; that it computes in float32 is tested beside it."""
        scans.append((x.dtype, *(tensor.dtype for tensor in parameters)))
        return torch.empty_like(x)

    monkeypatch.setattr(vss, "cross_selective_scan", scan)
    with torch.device("meta"):
        network = MSVMUNet(3, 4, features=[16, 32, 64, 128], depths=[1, 1, 1, 1]).train(training)
    if training:
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # fake tensors cannot be written to without CUDA
                module.running_mean = module.running_var = module.num_batches_tracked = None
    noted, output = calls(network, (2, 3, 64, 64))
    merged = 2 * count(network, vss.MultiScaleDepthwise)  # of the three convolutions of each, one is computed
    assert Counter(result for (_, result), n in noted.of(CONVOLUTION).items() for _ in range(n)) == {
        HALF: count(network, torch.nn.Conv2d) - merged
    }
    assert {dtype for given, _ in noted.of(CONVOLUTION) for dtype in given} == {HALF}
    assert {dtype for given, result in noted.of(*PRODUCTS) for dtype in (*given, result)} == {HALF}
    assert sum(noted.of(*PRODUCTS).values()) == count(network, torch.nn.Linear)
    assert noted.of(LAYER_NORM) == {((FULL,) * 3, FULL): count(network, torch.nn.LayerNorm)}
    norms = count(network, torch.nn.BatchNorm2d)
    assert sum(noted.of(BATCH_NORM).values()) == (norms if training else 0)  # they are folded into convolutions
    for given, result in noted.of(BATCH_NORM):
        assert given[0] == result == HALF
        assert set(given[1:]) == {FULL}
    assert scans == [(HALF, *(FULL,) * 5)] * count(network, vss.SS2D)
    assert output.dtype == HALF
