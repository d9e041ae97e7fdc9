"""The wrapper of mamba-ssm: with a stand-in for the package, and against the Triton kernels where it is installed."""

import importlib.util
import sys
import types

import pytest
import torch

from components import kernels
from components.kernels.ops.selective_scan import mamba_ssm, naive

INSTALLED = importlib.util.find_spec("mamba_ssm") is not None


def stand_in(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, return_last_state=False):
    """The package's signature and its demands on the arguments; computed by the definition."""
    assert z is None
    assert not return_last_state
    for tensor in (u, delta, B, C):
        assert tensor.stride(-1) == 1
    assert all(tensor is None or tensor.dtype == torch.float32 for tensor in (u, delta, A, B, C, D, delta_bias))
    return naive.selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)


@pytest.fixture
def wrapper(monkeypatch):
    """The back end's module, with the stand-in in place of the package."""
    interface = types.ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = stand_in
    for name in ("mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    return mamba_ssm


def arguments(dtype=torch.float32, batch=2, groups=2, rows=4, states=3, length=11, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    plane = (batch, groups, states, length)
    sizes = ((batch, rows, length), (batch, rows, length), (rows, states), plane, plane, (rows,), (rows,))
    tensors = [torch.randn(size, generator=generator, dtype=dtype).to(device) for size in sizes]
    tensors[2] = -tensors[2].exp()
    return [tensor.requires_grad_() for tensor in tensors]


def test_arguments_reach_the_package(wrapper):
    tensors = arguments()
    strided = [tensor.transpose(-1, -2).contiguous().transpose(-1, -2) for tensor in tensors[:5]] + tensors[5:]
    y = wrapper.selective_scan(*strided, True)
    expected = naive.selective_scan(*tensors, True)
    assert torch.equal(y, expected)
    gradients = torch.autograd.grad(y.sum(), tensors)
    for actual, wanted in zip(gradients, torch.autograd.grad(expected.sum(), tensors), strict=True):
        torch.testing.assert_close(actual, wanted)


def test_optional_arguments(wrapper):
    tensors = arguments()[:5]
    assert torch.equal(
        wrapper.selective_scan(*tensors, None, None, False), naive.selective_scan(*tensors, None, None, False)
    )


@pytest.mark.skipif(INSTALLED, reason="mamba-ssm is installed")
def test_forced_without_the_package():
    with pytest.raises(kernels.BackendUnavailableError, match=r"pip install 'scanseg\[mamba\]'"):
        kernels.selective_scan(*arguments(), backend="mamba_ssm")


@pytest.mark.skipif(INSTALLED, reason="mamba-ssm is installed")
def test_reported_as_missing():
    record = next(record for record in kernels.backends("selective_scan") if record.name == "mamba_ssm")
    assert not record.available
    assert "scanseg[mamba]" in record.reason


@pytest.mark.gpu
@pytest.mark.skipif(not INSTALLED, reason="needs mamba-ssm: pip install 'scanseg[mamba]'")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("states", [1, 16])
def test_package_agrees_with_triton(states):
    tensors = arguments(batch=2, groups=4, rows=384, states=states, length=3136, device="cuda")
    results = []
    for backend in ("mamba_ssm", "triton"):
        y = kernels.selective_scan(*tensors, delta_softplus=True, backend=backend)
        results.append((y, *torch.autograd.grad(y.square().sum(), tensors)))
    for actual, expected in zip(*results, strict=True):
        assert (actual - expected).abs().max() < 1e-4 * expected.abs().max()
