"""The selective scan as Triton kernels, forward and backward.

One program owns one row of one image and walks its L steps in chunks. Inside a chunk the recurrence
h_t = a_t h_{t−1} + x_t is a prefix scan over pairs (a, x); the state at the end of a chunk is carried to the next.

The backward pass first runs the same scan backwards in time for the adjoint state
g_t = C_t ∂y_t + a_{t+1} g_{t+1}, then forwards for h_{t−1}, and combines both into the gradients, so that nothing but
the arguments is kept from the forward pass. Gradients of B and C are sums over the rows of a group: every row writes
its share into a buffer that is summed afterwards, so that results are the same in every run, which atomic additions
would not give. The three buffers hold N·L numbers for each of about ``PROGRAMS`` rows at a time.
"""
# ruff: noqa: ANN001, ANN202 (arguments of a kernel are pointers and blocks, which have no Python type)

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 1024
"""States times steps that a program holds at once; a power of two."""

PROGRAMS = 1024
"""Rows that the backward pass treats at once: enough to fill a GPU of over a hundred multiprocessors."""

_SIGNATURE = "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? delta_bias, bool delta_softplus"


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """See :func:`components.kernels.selective_scan`; arguments are already of one dtype, float32 or float64."""
    return torch.ops.scanseg.selective_scan_triton(u, delta, A, B, C, D, delta_bias, delta_softplus)


@triton.jit
def _compose(decay, state, later_decay, later_state):
    return decay * later_decay, later_decay * state + later_state


@triton.jit
def _scan(decay, inputs, carry, is_last):
    """States (N, T) of one chunk from the state before it (N), and the last of them (N)."""
    product, state = tl.associative_scan((decay, inputs), 1, _compose)
    state += product * carry[:, None]
    return state, tl.sum(tl.where(is_last[None, :], state, 0.0), 1)


@triton.jit
def _step_size(delta, bias, valid, SOFTPLUS: tl.constexpr):
    """Δ and its derivative by delta; both 0 outside of the sequence, where the scan then keeps its state."""
    step = delta + bias
    slope = tl.full(step.shape, 1.0, step.dtype)
    if SOFTPLUS:
        power = tl.exp(tl.minimum(step, 20.0))
        one_more = 1.0 + power
        # log1p: the quotient undoes the rounding of 1 + power.
        exact = one_more == 1.0
        log = tl.where(exact, power, tl.log(one_more) * (power / tl.where(exact, 1.0, one_more - 1.0)))
        slope = tl.where(step > 20.0, 1.0, power / one_more)
        step = tl.where(step > 20.0, step, log)
    return tl.where(valid, step, 0.0), tl.where(valid, slope, 0.0)


@triton.jit
def _load_steps(pointer, bias, time, length, SOFTPLUS: tl.constexpr):
    valid = (time >= 0) & (time < length)
    return _step_size(tl.load(pointer + time, valid, 0.0), bias, valid, SOFTPLUS)


@triton.jit
def _place(rows, length, first, width, per_group, N: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_L: tl.constexpr):
    """Where a program works: offsets of its row in u, A and B, of its buffer, and the indices of its tile."""
    image, position = tl.program_id(1).to(tl.int64), tl.program_id(0)
    group = position // width
    row = group * per_group + first + position % width
    groups = rows // per_group
    state, time = tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_L)
    buffer = (image * tl.num_programs(0) + position) * N * length
    return row, (image * rows + row) * length, (image * groups + group) * N * length, buffer, state, time


@triton.jit
def _load_vector(pointer, row, like):
    return tl.load(pointer + row) if pointer is not None else tl.full((), 0.0, like.dtype.element_ty)


@triton.jit
def _forward_kernel(
    u, delta, A, B, C, D, delta_bias, y, rows, length, per_group,
    N: tl.constexpr, SOFTPLUS: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_L: tl.constexpr,
):  # fmt: skip
    row, line, plane, _buffer, n, t = _place(rows, length, 0, per_group, per_group, N, BLOCK_N, BLOCK_L)
    rate = tl.load(A + row * N + n, n < N, 0.0)
    direct, bias = _load_vector(D, row, u), _load_vector(delta_bias, row, u)
    carry = tl.zeros((BLOCK_N,), u.dtype.element_ty)
    for start in range(0, length, BLOCK_L):
        time = start + t
        valid = time < length
        tile, inside = n[:, None] * length + time[None, :], (n < N)[:, None] & valid[None, :]
        step, _slope = _load_steps(delta + line, bias, time, length, SOFTPLUS)
        value = tl.load(u + line + time, valid, 0.0)
        inputs = (step * value)[None, :] * tl.load(B + plane + tile, inside, 0.0)
        state, carry = _scan(tl.exp(step[None, :] * rate[:, None]), inputs, carry, t == BLOCK_L - 1)
        out = tl.sum(tl.load(C + plane + tile, inside, 0.0) * state, 0) + direct * value
        tl.store(y + line + time, out, valid)


@triton.jit
def _adjoint_kernel(
    dy, delta, A, C, delta_bias, adjoint, rows, length, per_group, first, width,
    N: tl.constexpr, SOFTPLUS: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_L: tl.constexpr,
):  # fmt: skip
    row, line, plane, buffer, n, t = _place(rows, length, first, width, per_group, N, BLOCK_N, BLOCK_L)
    rate = tl.load(A + row * N + n, n < N, 0.0)
    bias = _load_vector(delta_bias, row, dy)
    carry = tl.zeros((BLOCK_N,), dy.dtype.element_ty)
    for start in range(0, length, BLOCK_L):
        # Loaded backwards in time, because a scan with reverse=True has been wrong in Triton (its issue 4362).
        time = length - 1 - start - t
        valid = time >= 0
        tile, inside = n[:, None] * length + time[None, :], (n < N)[:, None] & valid[None, :]
        next_step, _slope = _load_steps(delta + line, bias, time + 1, length, SOFTPLUS)
        inputs = tl.load(C + plane + tile, inside, 0.0) * tl.load(dy + line + time, valid, 0.0)[None, :]
        state, carry = _scan(tl.exp(next_step[None, :] * rate[:, None]), inputs, carry, t == BLOCK_L - 1)
        tl.store(adjoint + buffer + tile, state, inside)


@triton.jit
def _gradient_kernel(
    dy, u, delta, A, B, C, D, delta_bias, adjoint, du, ddelta, dA, dB, dC, rows, length, per_group, first, width,
    N: tl.constexpr, SOFTPLUS: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_L: tl.constexpr,
):  # fmt: skip
    row, line, plane, buffer, n, t = _place(rows, length, first, width, per_group, N, BLOCK_N, BLOCK_L)
    rate = tl.load(A + row * N + n, n < N, 0.0)
    direct, bias = _load_vector(D, row, u), _load_vector(delta_bias, row, u)
    carry = tl.zeros((BLOCK_N,), u.dtype.element_ty)
    drate = tl.zeros((BLOCK_N,), u.dtype.element_ty)
    for start in range(0, length, BLOCK_L):
        time = start + t
        valid = time < length
        tile, inside = n[:, None] * length + time[None, :], (n < N)[:, None] & valid[None, :]
        # The state before each step is the scan of the sequence shifted by one: h_t − x_t would lose digits.
        before, was = time - 1, (time >= 1) & valid
        earlier, _slope = _load_steps(delta + line, bias, before, length, SOFTPLUS)
        weight = tl.load(B + plane + tile - 1, inside & was[None, :], 0.0)
        inputs = (earlier * tl.load(u + line + before, was, 0.0))[None, :] * weight
        state, carry = _scan(tl.exp(earlier[None, :] * rate[:, None]), inputs, carry, t == BLOCK_L - 1)

        step, slope = _load_steps(delta + line, bias, time, length, SOFTPLUS)
        value, dout = tl.load(u + line + time, valid, 0.0), tl.load(dy + line + time, valid, 0.0)
        weight = tl.load(B + plane + tile, inside, 0.0)
        g = tl.load(adjoint + buffer + tile, inside, 0.0)
        kept = tl.exp(step[None, :] * rate[:, None]) * state
        scaled = step * value
        drate += tl.sum(g * kept * step[None, :], 1)
        dstep = tl.sum(g * (rate[:, None] * kept + value[None, :] * weight), 0)
        tl.store(ddelta + line + time, dstep * slope, valid)
        tl.store(du + line + time, direct * dout + step * tl.sum(g * weight, 0), valid)
        tl.store(dB + buffer + tile, g * scaled[None, :], inside)
        tl.store(dC + buffer + tile, dout[None, :] * (kept + scaled[None, :] * weight), inside)
    tl.store(dA + (tl.program_id(1) * rows + row) * N + n, drate, n < N)


def _blocks(states: int, length: int) -> dict[str, int]:
    block_n = triton.next_power_of_2(states)
    block_l = min(max(TILE // block_n, 16), max(triton.next_power_of_2(length), 16))
    return {"N": states, "BLOCK_N": block_n, "BLOCK_L": block_l, "num_warps": min(max(block_n * block_l // 128, 1), 4)}


def _contiguous(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


@torch.library.custom_op("scanseg::selective_scan_triton", mutates_args=(), schema=f"({_SIGNATURE}) -> Tensor")
def _forward(u, delta, A, B, C, D, delta_bias, delta_softplus):
    u, delta, A, B, C, D, delta_bias = _contiguous(u, delta, A, B, C, D, delta_bias)
    batch, rows, length = u.shape
    y = torch.empty_like(u)
    with torch.cuda.device_of(u):
        _forward_kernel[(rows, batch)](
            u, delta, A, B, C, D, delta_bias, y, rows, length, rows // B.shape[1],
            SOFTPLUS=delta_softplus, **_blocks(A.shape[1], length),
        )  # fmt: skip
    return y


@torch.library.custom_op(
    "scanseg::selective_scan_triton_backward",
    mutates_args=(),
    schema=f"(Tensor dy, {_SIGNATURE}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _backward(dy, u, delta, A, B, C, D, delta_bias, delta_softplus):
    dy, u, delta, A, B, C, D, delta_bias = _contiguous(dy, u, delta, A, B, C, D, delta_bias)
    (batch, rows, length), (_, groups, states, _) = u.shape, B.shape
    per_group = rows // groups
    du, ddelta, dB, dC = torch.empty_like(u), torch.empty_like(u), torch.zeros_like(B), torch.zeros_like(C)
    dA = u.new_empty(batch, rows, states)
    slab = triton.cdiv(PROGRAMS, batch * groups)
    for first in range(0, per_group, slab):
        width = min(slab, per_group - first)
        adjoint, dB_rows, dC_rows = u.new_empty(3, batch, groups, width, states, length)
        grid, shape = (groups * width, batch), (rows, length, per_group, first, width)
        options = {"SOFTPLUS": delta_softplus, **_blocks(states, length)}
        with torch.cuda.device_of(u):
            _adjoint_kernel[grid](dy, delta, A, C, delta_bias, adjoint, *shape, **options)
            _gradient_kernel[grid](
                dy, u, delta, A, B, C, D, delta_bias, adjoint, du, ddelta, dA, dB_rows, dC_rows, *shape, **options
            )
        dB += dB_rows.sum(2)
        dC += dC_rows.sum(2)
    return du, ddelta, dA.sum(0), dB, dC


@_forward.register_fake
def _forward_shape(u, delta, A, B, C, D, delta_bias, delta_softplus):
    return u.new_empty(u.shape)


@_backward.register_fake
def _backward_shapes(dy, u, delta, A, B, C, D, delta_bias, delta_softplus):
    return tuple(tensor.new_empty(tensor.shape) for tensor in (u, delta, A, B, C))


def _keep(ctx, inputs, output) -> None:
    *tensors, ctx.delta_softplus = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx, dy):
    u, _, _, _, _, D, delta_bias = ctx.saved_tensors
    gradients = torch.ops.scanseg.selective_scan_triton_backward(dy, *ctx.saved_tensors, ctx.delta_softplus)
    dD = None if D is None else (dy * u).sum((0, 2))
    ddelta_bias = None if delta_bias is None else gradients[1].sum((0, 2))
    return *gradients, dD, ddelta_bias, None


_forward.register_autograd(_differentiate, setup_context=_keep)
