"""The Triton kernels of the selective scan against its definition: on a GPU, or else in Triton's interpreter."""

import functools
import os
import subprocess
import sys

import pytest
import scan_cases as cases
import torch
from scan_cases import NAMES, outputs

from components import kernels
from components.kernels.ops.selective_scan import naive

pytest.importorskip("triton", reason="needs Triton: pip install 'scanseg[cuda]'")
from components.kernels.ops.selective_scan import triton as fused

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
gpu = [pytest.mark.gpu, pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")]

# batch, groups, rows per group, N, L
SIZES = [
    (1, 1, 1, 1, 1),
    (3, 2, 1, 16, 1),
    (1, 4, 2, 1, 2),
    (1, 1, 1, 16, 2),
    (3, 1, 2, 1, 63),
    (1, 2, 1, 16, 63),
    (1, 2, 3, 1, 64),
    (3, 1, 1, 1, 65),
    (1, 4, 1, 3, 65),
    (1, 1, 2, 16, 65),
]


@pytest.fixture
def small_blocks(monkeypatch):
    """Several chunks also for short sequences, and one row of each group per pass of the backward."""
    monkeypatch.setattr(fused, "TILE", 32)
    monkeypatch.setattr(fused, "PROGRAMS", 1)


arguments = functools.partial(cases.arguments, device=DEVICE)
assert_same = functools.partial(cases.assert_same, fused.selective_scan)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_outputs_and_every_gradient(size, dtype):
    assert_same(arguments(*size, dtype))


@pytest.mark.parametrize("size", [(1, 2, 2, 1, 200), (1, 1, 1, 16, 70)], ids=str)
def test_blocks_as_shipped(size):
    assert_same(arguments(*size, torch.float32))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("softplus", [True, False])
@pytest.mark.parametrize("absent", [(5,), (6,), (5, 6)], ids=["D", "delta_bias", "both"])
def test_optional_arguments(absent, softplus):
    tensors = arguments(2, 2, 1, 2, 37, torch.float64)
    if not softplus:
        # Negative steps grow the state exponentially.
        tensors[1] = tensors[1].detach().abs().requires_grad_()
    assert_same([None if index in absent else tensor for index, tensor in enumerate(tensors)], softplus)


@pytest.mark.usefixtures("small_blocks")
def test_inputs_that_are_not_contiguous():
    batch, groups, per_group, states, length = 2, 2, 2, 3, 21
    tensors = arguments(batch, groups, per_group, states, length, torch.float64)
    strided = [tensor.detach().transpose(-1, -2).contiguous().transpose(-1, -2) for tensor in tensors[:5]]
    strided += [tensor.detach().repeat_interleave(2)[::2] for tensor in tensors[5:]]
    assert not any(tensor.is_contiguous() for tensor in strided)
    expected = outputs(fused.selective_scan, tensors, True)
    actual = outputs(fused.selective_scan, [tensor.requires_grad_() for tensor in strided], True)
    cases.assert_equal(actual, expected)


@pytest.mark.usefixtures("small_blocks")
def test_gradient_that_is_an_expanded_number():
    tensors = arguments(1, 1, 2, 2, 19, torch.float64)
    y = fused.selective_scan(*tensors, True)
    gradients = torch.autograd.grad(y.sum(), tensors, retain_graph=True)
    expected = torch.autograd.grad(y, tensors, torch.ones_like(y))
    assert all(torch.equal(actual, wanted) for actual, wanted in zip(gradients, expected, strict=True))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_large_steps_stay_finite(dtype):
    tensors = arguments(1, 1, 2, 2, 40, dtype)
    with torch.no_grad():
        tensors[1] *= 1e4
    assert tensors[1].min() < -1e4
    assert tensors[1].max() > 1e4
    assert_same(tensors)
    assert all(value.isfinite().all() for value in outputs(fused.selective_scan, tensors, True).values())


def test_small_steps_keep_their_digits():
    """Softplus at −12 is 6e-6: log(1 + exp(·)) in float32 would have lost all but two digits of it."""
    tensors = arguments(1, 1, 1, 1, 30, torch.float32)[:5]
    tensors[1] = torch.full_like(tensors[1], -12.0)
    actual = fused.selective_scan(*tensors, None, None, True).double()
    expected = naive.selective_scan(*(tensor.double() for tensor in tensors), None, None, True)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6 * expected.abs().max().item())


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("softplus", [True, False])
def test_gradcheck(softplus):
    tensors = arguments(1, 2, 1, 2, 3, torch.float64)
    tensors[1] = tensors[1].detach().abs().requires_grad_()
    assert torch.autograd.gradcheck(lambda *inputs: fused.selective_scan(*inputs, softplus), tensors)


@pytest.mark.usefixtures("small_blocks")
def test_bfloat16_through_the_public_operator():
    tensors = [tensor.detach().bfloat16().requires_grad_() for tensor in arguments(1, 2, 1, 2, 33, torch.float32)]
    results = {}
    for backend in ("naive", "triton"):
        y = kernels.selective_scan(*tensors, delta_softplus=True, backend=backend)
        results[backend] = (y, *torch.autograd.grad(y.float().sum(), tensors))
    for name, actual, expected in zip(("y", *NAMES), results["triton"], results["naive"], strict=True):
        assert actual.dtype == torch.bfloat16, name
        # Both round the same float32 numbers: at most to neighbouring bfloat16 numbers.
        torch.testing.assert_close(actual, expected, rtol=2**-7, atol=1e-5)


def test_forced_by_a_context():
    tensors = arguments(1, 1, 1, 1, 5, torch.float32)
    with kernels.use_backend("selective_scan", "triton"):
        y = kernels.selective_scan(*tensors, delta_softplus=True)
    assert torch.equal(y, fused.selective_scan(*tensors, True))


@pytest.mark.parametrize("with_vectors", [True, False], ids=["all", "without D and bias"])
def test_operator_registration(with_vectors):
    tensors = arguments(2, 2, 1, 2, 5, torch.float64)
    if not with_vectors:
        tensors[5:] = None, None
    torch.library.opcheck(torch.ops.scanseg.selective_scan_triton.default, (*tensors, True))
    detached = [None if tensor is None else tensor.detach() for tensor in tensors]
    dy = torch.ones_like(detached[0])
    torch.library.opcheck(torch.ops.scanseg.selective_scan_triton_backward.default, (dy, *detached, True))


def test_one_graph_under_compile():
    tensors = arguments(1, 1, 2, 2, 7, torch.float64)
    compiled = torch.compile(
        lambda *inputs: 2 * fused.selective_scan(*inputs, True), fullgraph=True, backend="aot_eager"
    )
    y = compiled(*tensors)
    expected = 2 * fused.selective_scan(*tensors, True)
    assert torch.equal(y, expected)
    gradients = torch.autograd.grad(y.sum(), tensors)
    for name, actual, wanted in zip(NAMES, gradients, torch.autograd.grad(expected.sum(), tensors), strict=True):
        torch.testing.assert_close(actual, wanted, msg=lambda m, name=name: f"{name}: {m}")


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from components.kernels.ops.selective_scan import triton as fused

SIZES = {"rows", "length", "per_group", "first", "width"}
for states, absent, capability in ((1, (), 90), (16, (), 80), (3, ("D", "delta_bias"), 80)):
    options = fused._blocks(states, 3136)
    warps = options.pop("num_warps")
    for kernel in (fused._forward_kernel, fused._adjoint_kernel, fused._gradient_kernel):
        fixed = {**options, "SOFTPLUS": True, **{name: None for name in absent if name in kernel.arg_names}}
        kinds = {n: "constexpr" if n in fixed else "i32" if n in SIZES else "*fp32" for n in kernel.arg_names}
        source = ASTSource(fn=kernel, signature=kinds, constexprs=fixed)
        binary = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})
        assert binary.asm["cubin"]
"""


def test_kernels_compile_without_a_gpu(tmp_path):
    """The interpreter is more lenient than the compiler (types that change in a loop), and a GPU is seldom at hand."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("states", [1, 16])
class TestOnGPU:
    pytestmark = gpu

    def test_realistic_size_agrees_with_torch(self, states):
        tensors = arguments(2, 4, 96, states, 56 * 56, torch.float32)
        results = {}
        for backend in ("torch", "triton"):
            y = kernels.selective_scan(*tensors, delta_softplus=True, backend=backend)
            results[backend] = (y, *torch.autograd.grad(y.square().sum(), tensors))
        for name, actual, expected in zip(("y", *NAMES), results["triton"], results["torch"], strict=True):
            error = (actual - expected).abs().max() / expected.abs().max()
            assert error < 1e-4, f"{name}: {error}"

    def test_same_gradients_in_every_run(self, states):
        tensors = arguments(2, 4, 96, states, 1000, torch.float32)
        first, second = (outputs(fused.selective_scan, tensors, True) for _ in range(2))
        cases.assert_equal(first, second)
