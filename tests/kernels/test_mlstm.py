"""Every back end of mlstm against its definition, and both against the parallel form of the mlstm_kernels package."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.kernels import backends, mlstm
from components.kernels.ops.mlstm import chunkwise, naive
from tests.kernels.graphs import namespaces

LENGTHS = [1, 2, 63, 64, 65, 130]
NAMES = ("q", "k", "v", "i", "f")
RECORDS = {record.name: record for record in backends("mlstm")}
FAST = [
    pytest.param(name, marks=pytest.mark.skipif(not record.available, reason=record.reason))
    for name, record in RECORDS.items()
    if name != "naive"
]


def make(length, batch=2, heads=3, width=8, dtype=torch.float32, gate_scale=1.0, forget_offset=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    qkv = [normal(batch, heads, length, width) for _ in range(3)]
    i = normal(batch, heads, length) * gate_scale
    f = normal(batch, heads, length) * gate_scale + forget_offset
    return [x.requires_grad_() for x in (*qkv, i, f)]


def run(inputs, backend, seed=1):
    """Output, and gradients of a random linear functional of it."""
    out = mlstm(*inputs, backend=backend)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(out.dtype)
    return out.detach(), torch.autograd.grad(out, inputs, weight)


def assert_same(actual, expected, tolerance):
    """Outputs and every gradient agree, relative to the greatest entry of each."""
    pairs = {"h": (actual[0], expected[0])} | dict(zip(NAMES, zip(actual[1], expected[1], strict=True), strict=True))
    for name, (ours, theirs) in pairs.items():
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        error = (ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-3)
        assert error < tolerance, f"{name}: {error:.1e}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("backend", FAST)
def test_agrees_with_the_definition(backend, length, dtype):
    inputs = make(length, dtype=dtype)
    tolerance = 3e-5 if dtype == torch.float32 else 1e-10
    assert_same(run(inputs, backend), run(inputs, "naive"), tolerance)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("backend", FAST)
def test_batch_and_heads(backend, batch, heads):
    inputs = make(70, batch=batch, heads=heads, width=5, dtype=torch.float64)
    assert_same(run(inputs, backend), run(inputs, "naive"), 1e-10)


def test_several_blocks_of_chunks():
    length = chunkwise.CHUNK * chunkwise.CHUNKS_IN_BLOCK * 2 + 7
    inputs = make(length, batch=1, heads=2, width=4, dtype=torch.float64)
    assert_same(run(inputs, "chunkwise"), run(inputs, "naive"), 1e-10)


@pytest.mark.parametrize("backend", FAST)
def test_non_contiguous_inputs(backend):
    """As they come from a projection: heads split off the last axis of (B, S, E)."""
    contiguous = make(70, dtype=torch.float64)
    strided = [x.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for x in contiguous]
    assert not strided[0].is_contiguous()
    assert_same(run(strided, backend), run(contiguous, "naive"), 1e-10)


@pytest.mark.parametrize("backend", ["naive", *FAST])
@pytest.mark.parametrize("length", [1, 65, 130])
def test_parallel_form_of_the_package(backend, length):
    """An oracle that was not written here; its autograd form differentiates all that the definition does."""
    torch_kernels = pytest.importorskip("mlstm_kernels.torch")
    inputs = make(length, dtype=torch.float64)
    oracle = torch_kernels.get_mlstm_kernel("parallel--native_stablef_autograd")
    out, gradients = run(inputs, backend)
    expected = oracle(*inputs, eps=1e-6)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert_same((out, gradients), (expected.detach(), torch.autograd.grad(expected, inputs, weight)), 1e-10)


def test_definition_is_the_recurrence():
    """One step after the other with a d × d state (Beck et al., 2024, eqs. 19-27), without any stabilisation."""
    q, k, v, i, f = (x.detach() for x in make(20, batch=1, heads=1, width=3, dtype=torch.float64))
    state, vector = torch.zeros(3, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    expected = []
    for t in range(20):
        gate_f, gate_i = torch.sigmoid(f[0, 0, t]), torch.exp(i[0, 0, t])
        state = gate_f * state + gate_i * torch.outer(v[0, 0, t], k[0, 0, t]) / 3**0.5
        vector = gate_f * vector + gate_i * k[0, 0, t] / 3**0.5
        expected.append(state @ q[0, 0, t] / (vector @ q[0, 0, t]).abs().clamp(min=1))
    # The 1e-6 in the normaliser is all that differs.
    torch.testing.assert_close(mlstm(q, k, v, i, f, backend="naive")[0, 0], torch.stack(expected), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("module", [naive, chunkwise], ids=["naive", "chunkwise"])
@pytest.mark.parametrize("length", [1, 4, 9])
def test_gradcheck(module, length, monkeypatch):
    monkeypatch.setattr(chunkwise, "CHUNK", 4)
    monkeypatch.setattr(chunkwise, "CHUNKS_IN_BLOCK", 2)
    assert torch.autograd.gradcheck(module.mlstm, make(length, batch=1, heads=2, width=2, dtype=torch.float64))


def test_gradcheck_where_the_normaliser_is_tiny():
    """With great input gates the 1e-6 weighs, and with it the gradient of the running maximum."""
    q, k, v, i, f = (x.detach() for x in make(6, batch=1, heads=1, width=2, dtype=torch.float64))
    inputs = [x.requires_grad_() for x in (q * 1e-3, k * 1e-3, v, i + 20, f)]
    assert torch.autograd.gradcheck(chunkwise.mlstm, inputs, eps=1e-7, atol=1e-2, rtol=1e-4)
    assert_same(run(inputs, "chunkwise"), run(inputs, "naive"), 1e-9)


@pytest.mark.parametrize("scale", [1e2, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("backend", ["naive", "chunkwise"])
def test_great_gates(backend, dtype, scale):
    out, gradients = run(make(130, dtype=dtype, gate_scale=scale, forget_offset=0.0), backend)
    for tensor in (out, *gradients):
        assert torch.isfinite(tensor).all()
    if dtype == torch.float64:
        inputs = make(130, dtype=dtype, gate_scale=scale, forget_offset=0.0)
        assert_same((out, gradients), run(inputs, "naive"), 1e-9)


@pytest.mark.parametrize("backend", ["naive", "chunkwise"])
@pytest.mark.parametrize(("i", "f"), [(-1e4, -1e4), (-1e4, 1e4), (1e4, -1e4), (1e4, 1e4), (-100.0, 3.0)])
def test_saturated_gates(backend, i, f):
    q, k, v, gate_i, gate_f = make(70)
    inputs = [q, k, v, *(torch.full_like(g, value).requires_grad_() for g, value in ((gate_i, i), (gate_f, f)))]
    out, gradients = run(inputs, backend)
    for tensor in (out, *gradients):
        assert torch.isfinite(tensor).all()


def test_a_closed_gate_hides_the_past():
    """What stands before a step with f = −1e4 is forgotten, in this chunk and from earlier ones."""
    q, k, v, i, f = (x.detach() for x in make(130))
    for cut in (64, 70):
        closed = f.clone()
        closed[..., cut] = -1e4
        whole = mlstm(q, k, v, i, closed, backend="chunkwise")[..., cut:, :]
        late = mlstm(*(x[:, :, cut:] for x in (q, k, v, i, f)), backend="chunkwise")
        torch.testing.assert_close(whole, late, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", FAST)
def test_causal(backend):
    q, k, v, i, f = (x.detach() for x in make(130))
    whole = mlstm(q, k, v, i, f, backend=backend)
    part = mlstm(*(x[:, :, :77] for x in (q, k, v, i, f)), backend=backend)
    torch.testing.assert_close(whole[:, :, :77], part, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["naive", *FAST])
def test_half_precision_inputs_are_computed_in_float32(backend):
    halves = [x.detach().bfloat16() for x in make(70)]
    with torch.autocast("cpu", torch.bfloat16):
        out = mlstm(*halves, backend=backend)
    assert out.dtype == torch.bfloat16
    expected = mlstm(*(x.float() for x in halves), backend="naive")
    torch.testing.assert_close(out, expected.bfloat16(), rtol=1e-2, atol=1e-2)


def test_gradients_of_some_inputs_only():
    q, k, v, i, f = make(70, dtype=torch.float64)
    inputs = [q.detach(), k, v.detach(), i.detach(), f]
    weight = torch.ones_like(q)
    expected = torch.autograd.grad(mlstm(*inputs, backend="naive"), [k, f], weight)
    actual = torch.autograd.grad(mlstm(*inputs, backend="chunkwise"), [k, f], weight)
    torch.testing.assert_close(actual, expected)


@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 4),
    length=st.integers(1, 200),
    width=st.integers(1, 9),
    forget_offset=st.floats(-5, 8),
)
def test_any_shape(batch, heads, length, width, forget_offset):
    inputs = make(length, batch, heads, width, torch.float64, forget_offset=forget_offset)
    assert_same(run(inputs, "chunkwise"), run(inputs, "naive"), 1e-9)


@pytest.mark.parametrize("length", [1, 65])
def test_custom_operator(length):
    torch.library.opcheck(torch.ops.scanseg.mlstm_chunkwise, make(length, batch=1, heads=2, width=4))


def test_compiles_without_graph_break():
    inputs = make(70, dtype=torch.float64)
    compiled = torch.compile(lambda *x: mlstm(*x), fullgraph=True, backend="aot_eager")
    out = compiled(*inputs)
    expected = run(inputs, "naive")
    torch.testing.assert_close(out, expected[0])
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert_same((out.detach(), torch.autograd.grad(out, inputs, weight)), expected, 1e-10)


def test_traces_to_plain_operators():
    inputs = [x.detach() for x in make(70)]
    traced = torch.jit.trace(lambda *x: mlstm(*x), inputs)
    assert namespaces(traced.inlined_graph) <= {"aten", "prim"}
    torch.testing.assert_close(traced(*inputs), mlstm(*inputs, backend="naive"), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("length", [65, 300])
def test_cuda(backend, length):
    inputs = make(length, width=24)
    on_gpu = [x.detach().cuda().requires_grad_() for x in inputs]
    expected = mlstm(*inputs, backend="naive")
    torch.testing.assert_close(mlstm(*on_gpu, backend=backend).cpu(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": (2, 3, 6, 8)}, r"one shape \(B, heads, S, d\).*\(2, 3, 6, 8\)"),
        ({"v": (2, 3, 7, 4)}, r"one shape \(B, heads, S, d\)"),
        ({"f": (2, 3, 6)}, r"i and f of shape \(2, 3, 7\)"),
        ({"q": (2, 7, 8), "k": (2, 7, 8), "v": (2, 7, 8)}, r"\(B, heads, S, d\)"),
    ],
)
def test_wrong_shapes(change, message):
    shapes = dict.fromkeys("qkv", (2, 3, 7, 8)) | dict.fromkeys("if", (2, 3, 7)) | change
    with pytest.raises(ValueError, match=message):
        mlstm(**{name: torch.zeros(shape) for name, shape in shapes.items()})
