"""Linear maps by oneDNN, beside PyTorch's."""

import pytest
import torch
from torch.nn import functional as F

from components.kernels import linear as module
from components.kernels.linear import Linear, linear

WIDTHS = [(3, 5), (5, module.NARROW), (module.NARROW, 65), (module.NARROW, 3 * module.NARROW)]


@pytest.fixture
def products(monkeypatch):
    """Products by oneDNN, whatever their size and the processor."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this PyTorch has no linear map by oneDNN")
    counted = []
    monkeypatch.setattr(module, "SMALL", 1)
    monkeypatch.setattr(module, "onednn_is_faster", lambda: True)
    multiply = module._multiply
    monkeypatch.setattr(module, "_multiply", lambda *args: counted.append(args) or multiply(*args))
    return counted


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shape", [(7,), (2, 3, 100)])
@pytest.mark.parametrize("biased", [True, False])
def test_is_linear_with_derivatives_of_two_orders(products, width, shape, biased):
    inner, outer = width
    leaves = [numbers(*shape, inner), numbers(outer, inner, seed=1), *([numbers(outer, seed=2)] if biased else [])]

    def derivatives(function, dtype):
        own = [leaf.to(dtype).requires_grad_() for leaf in leaves]
        y = function(*own)
        first = torch.autograd.grad(y.square().sum(), own, create_graph=True)
        second = torch.autograd.grad(sum(gradient.square().sum() for gradient in first), own)
        return [y, *first, *second]

    found, wanted = derivatives(linear, torch.float32), derivatives(F.linear, torch.float64)
    assert products
    for one, expected in zip(found, wanted, strict=True):
        assert one.shape == expected.shape
        assert (one - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_takes_parts_of_tensors(products):
    x, weight = numbers(6, 9)[:, 2:7], numbers(8, 12, seed=1)[:, 4:9]
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(linear(numbers(4, 6).T, x.T[:, :4]), numbers(4, 6).T @ x[:4], rtol=1e-5, atol=1e-5)
    assert len(products) == 2


def test_its_result_may_be_changed_in_place(products):
    x, weight = numbers(2, 3, 4), numbers(5, 4, seed=1).requires_grad_()
    gradients = [
        torch.autograd.grad(function(x, weight).movedim(-1, 1).relu_().sum(), weight)[0]
        for function in (linear, F.linear)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["float64", "one row", "autocast", "no rows"])
def test_what_is_left_to_pytorch(products, kind):
    x, weight = numbers(6, 4), numbers(5, 4, seed=1)
    if kind == "float64":
        x, weight = x.double(), weight.double()
    x = {"one row": x[0], "no rows": x[:0]}.get(kind, x)
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
        assert torch.equal(linear(x, weight), F.linear(x, weight))
    assert not products


def test_exporters_and_compilers_see_pytorch_only(products):
    layer = Linear(4, 5)
    exported = torch.export.export(layer, (numbers(6, 4),))
    assert [node.target for node in exported.graph.nodes if node.op == "call_function"] == [
        torch.ops.aten.linear.default
    ]
    traced = torch.jit.trace(layer, numbers(6, 4), check_trace=False)
    assert "mkldnn" not in str(traced.inlined_graph)
    assert not products


@pytest.mark.parametrize(
    ("name", "avx512", "faster"),
    [("AMD EPYC", True, True), ("AMD EPYC", False, False), ("Intel(R) Xeon(R) Processor", True, False)],
)
def test_mkl_is_left_where_it_is_slower(name, avx512, faster, monkeypatch):
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    capabilities = {"cpu_name": name, "avx512_f": avx512}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert module.onednn_is_faster.__wrapped__() == (faster and hasattr(torch.ops.mkldnn, "_linear_pointwise"))
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not module.onednn_is_faster.__wrapped__()
