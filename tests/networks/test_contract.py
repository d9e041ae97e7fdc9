"""What every network must do, whatever its architecture. A new network is one more entry in CASES."""

import io
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch

from components.networks import MSVMUNet, XLSTMUNet
from tests.bundles.workflow import ROOT
from tests.timeouts import HANG


class Case(NamedTuple):
    """A network to build, an input that it takes, and what else it must take or refuse."""

    build: Callable[..., torch.nn.Module]
    shape: tuple[int, ...]
    out_channels: int
    sizes: tuple[tuple[int, ...], ...]
    refused: tuple[int, ...]


def xlstm(variant, spatial_dims, stages):
    arguments = {
        "in_channels": 2,
        "out_channels": 3,
        "patch_size": [32, 48] if spatial_dims == 2 else [8, 16, 24],
        "features": [4, 8, 12, 16][:stages],
        "kernel_sizes": [3 if spatial_dims == 2 else [1, 3, 3], 3, 3, 3][:stages],
        "strides": [1, 2 if spatial_dims == 2 else [1, 2, 2], 2, 2][:stages],
        "blocks_per_stage": [2, 1, 1, 1][:stages],
        "decoder_blocks_per_stage": 1,
    }
    return lambda **more: XLSTMUNet(spatial_dims, variant=variant, **arguments, **more)


def msvm(**more):
    return MSVMUNet(1, 4, features=[16, 32, 64, 128], depths=[1, 1, 1, 1], **more)


CASES = {
    "xlstm_bot_2d": Case(xlstm("bot", 2, 3), (2, 2, 32, 48), 3, ((4, 8), (20, 12)), (33, 41)),
    "xlstm_enc_2d": Case(xlstm("enc", 2, 3), (2, 2, 32, 48), 3, ((4, 8), (20, 12)), (33, 41)),
    "xlstm_bot_3d": Case(xlstm("bot", 3, 3), (2, 2, 8, 16, 24), 3, ((2, 4, 8), (6, 12, 4)), (9, 17, 24)),
    "xlstm_enc_3d_channel_token": Case(xlstm("enc", 3, 4), (2, 2, 8, 16, 24), 3, (), (12, 16, 24)),
    "msvm": Case(msvm, (2, 1, 64, 64), 4, ((32, 64), (96, 64)), (65, 64)),
}
SUPERVISED = [name for name in CASES if name.startswith("xlstm")]


@pytest.fixture(params=CASES)
def case(request):
    torch.manual_seed(0)
    return CASES[request.param]


@pytest.fixture
def x(case):
    return torch.randn(case.shape)


def logits(network, x):
    with torch.no_grad():
        return network.eval()(x)


def test_output_has_the_size_of_the_input(case, x):
    network = case.build()
    for mode in (True, False):
        out = network.train(mode)(x)
        assert out.shape == (x.shape[0], case.out_channels, *x.shape[2:])
        assert torch.isfinite(out).all()


def test_other_sizes(case):
    network = case.build()
    for size in case.sizes:
        assert logits(network, torch.randn(1, case.shape[1], *size)).shape == (1, case.out_channels, *size)


def test_samples_of_a_batch_do_not_mix(case, x):
    network = case.build()
    whole = logits(network, x)
    single = torch.cat([logits(network, sample[None]) for sample in x])
    torch.testing.assert_close(whole, single, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SUPERVISED)
def test_deep_supervision(name):
    torch.manual_seed(0)
    case = CASES[name]
    x = torch.randn(case.shape)
    network = case.build(deep_supervision=True).train()
    outputs = network(x)
    assert isinstance(outputs, list)
    assert len(outputs) == len(network.decoder)
    assert outputs[0].shape[2:] == x.shape[2:]
    sizes = [output[0, 0].numel() for output in outputs]
    assert sizes == sorted(sizes, reverse=True)
    assert isinstance(network.eval()(x), torch.Tensor)


def test_gradient_reaches_every_parameter(case, x):
    supervised = case in [CASES[name] for name in SUPERVISED]
    outputs = (network := case.build(**{"deep_supervision": True} if supervised else {})).train()(x)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if not name.endswith("bias"):  # a bias before a norm has none by construction
            assert parameter.grad.any(), name


def test_state_dict_round_trip(case, x):
    network, other = case.build(), case.build()
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    assert not torch.equal(logits(network, x), logits(other, x))
    other.load_state_dict(torch.load(buffer, weights_only=True))
    torch.testing.assert_close(logits(network, x), logits(other, x), rtol=0, atol=0)


def test_bfloat16_autocast(case, x):
    network = case.build().eval()
    expected = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        out = network(x)
    out.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.requires_grad)
    error = (out.float() - expected).abs().mean() / expected.abs().mean()
    assert error < 0.05


def test_activation_checkpointing_gives_equal_gradients(case, x):
    def gradients(network):
        torch.manual_seed(1)
        network.train()(x).square().mean().backward()
        return {name: p.grad for name, p in network.named_parameters() if p.requires_grad}

    plain, recomputing = case.build(), case.build(use_checkpoint=True)
    recomputing.load_state_dict(plain.state_dict())
    expected = gradients(plain)
    for name, gradient in gradients(recomputing).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


@pytest.mark.parametrize("case", ["xlstm_bot_3d", "xlstm_enc_2d", "msvm"], indirect=True)  # all parts of all
def test_compiles_without_graph_break(case, x):
    network = case.build().eval()
    out = torch.compile(network, fullgraph=True, backend="aot_eager")(x)
    out.square().mean().backward()
    compiled = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    network.zero_grad()
    expected = network(x)
    expected.square().mean().backward()
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
    for name, gradient in compiled.items():
        torch.testing.assert_close(gradient, network.get_parameter(name).grad, rtol=1e-3, atol=1e-4, msg=name)


def test_compiles_before_it_has_run():
    """In a process that has chosen no back end yet."""
    code = (
        "import torch; from components.networks import MSVMUNet\n"
        "network = MSVMUNet(1, 4, features=[8, 16, 32, 64], depths=[1, 1, 1, 1]).eval()\n"
        "print(*torch.compile(network, fullgraph=True, backend='eager')(torch.randn(1, 1, 64, 64)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=HANG)
    assert done.stdout.split() == ["1", "4", "64", "64"], done.stderr


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_torchscript(case, x):
    network = case.build().eval()
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(network, x, check_trace=False), buffer)
    buffer.seek(0)
    loaded = torch.jit.load(buffer)
    for sample in (x, torch.randn_like(x)):
        torch.testing.assert_close(logits(loaded, sample), logits(network, sample), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::UserWarning")
def test_onnx(case, x, tmp_path):
    """Opset 18, by TorchScript's exporter."""
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    network = case.build().eval()
    path = str(tmp_path / "network.onnx")
    torch.onnx.export(network, (x,), path, opset_version=18, dynamo=False, input_names=["image"])
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for sample in (x, torch.randn_like(x)):
        (out,) = session.run(None, {"image": sample.numpy()})
        torch.testing.assert_close(torch.from_numpy(out), logits(network, sample), rtol=1e-4, atol=1e-4)


def test_refuses_other_inputs_with_the_remedy(case):
    network = case.build()
    with pytest.raises(ValueError, match="pad"):
        network(torch.zeros(1, case.shape[1], *case.refused))
    with pytest.raises(ValueError, match=r"channels|input"):
        network(torch.zeros(1, case.shape[1] + 3, *case.shape[2:]))
    with pytest.raises(ValueError, match="needs"):
        network(torch.zeros(case.shape[1:]))
