"""The selective scan on a CPU, compiled by numba: channels across SIMD lanes, batch × channel blocks across threads.

One kernel pair serves ``selective_scan`` and ``cross_selective_scan``: it walks an image of (batch, L, rows), rows
contiguous, along a :class:`Path`. Nothing but the result is stored in the forward pass; the backward pass recomputes
the states of one block of rows at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from components.kernels.compiled import jit, threads
from components.kernels.scan.elementary import exp, sigmoid, softplus

LANES = 48  # rows that a thread takes at a time: divides the published widths, and is three AVX-512 registers


class Path(NamedTuple):
    """The order of a scan: step (i, j), i outer, is at position start + i·outer_stride + j·inner_stride."""

    start: int
    outer: int
    outer_stride: int
    inner: int
    inner_stride: int


# In the kernels every row of LANES numbers is sliced before its loop: an index that numba cannot prove to be positive
# costs the loop its vector form. Both blocks write out their step sizes: as a function of its own that made a scan
# without softplus 1.4 times as slow.


@jit()
def _forward_block(x, dt, B, C, A, path, use_softplus, first, y):  # noqa: ANN001, ANN202
    """The rows first … first + LANES of x, dt, y (L, rows); B, C (L, N); A (N, LANES)."""
    last, states = first + LANES, A.shape[0]
    h = np.zeros((states, LANES), x.dtype)
    delta = np.empty(LANES, x.dtype)
    step = np.empty(LANES, x.dtype)
    for i in range(path.outer):
        for j in range(path.inner):
            p = path.start + i * path.outer_stride + j * path.inner_stride
            x_row, dt_row, y_row = x[p, first:last], dt[p, first:last], y[p, first:last]
            if use_softplus:
                for c in range(LANES):
                    delta[c] = softplus(dt_row[c])
                    step[c] = delta[c] * x_row[c]
            else:
                for c in range(LANES):
                    delta[c] = dt_row[c]
                    step[c] = delta[c] * x_row[c]
            for s in range(states):
                b, a = B[p, s], C[p, s]
                for c in range(LANES):
                    h[s, c] = exp(delta[c] * A[s, c]) * h[s, c] + b * step[c]
                for c in range(LANES):
                    y_row[c] += a * h[s, c]


@jit(parallel=True)
def _forward(x, dt, B, C, A, path, use_softplus, y):  # noqa: ANN001, ANN202
    """Add the scan of x to y: x, dt, y (batch, L, rows); B, C (batch, L, groups, N); A (N, rows)."""
    batch, _, rows = x.shape
    groups = B.shape[2]
    blocks = rows // groups // LANES
    for job in numba.prange(batch * groups * blocks):
        b, g, block = job // (groups * blocks), job // blocks % groups, job % blocks
        first = (g * blocks + block) * LANES
        last = first + LANES
        _forward_block(x[b], dt[b], B[b, :, g], C[b, :, g], A[:, first:last].copy(), path, use_softplus, first, y[b])


@jit()
def _backward_block(x, dt, B, C, A, path, use_softplus, first, dy, dx, ddt, dB, dC, dA):  # noqa: ANN001, ANN202
    """One block of rows, shapes as in :func:`_forward_block`; dB, dC (L, N) and dA (N, rows) are written."""
    length, last, states = path.outer * path.inner, first + LANES, A.shape[0]
    h = np.zeros((length + 1, states, LANES), x.dtype)
    delta = np.empty((length, LANES), x.dtype)
    step = np.empty((length, LANES), x.dtype)
    t = 0
    for i in range(path.outer):
        for j in range(path.inner):
            p = path.start + i * path.outer_stride + j * path.inner_stride
            x_row, dt_row, delta_t, step_t = x[p, first:last], dt[p, first:last], delta[t], step[t]
            if use_softplus:
                for c in range(LANES):
                    delta_t[c] = softplus(dt_row[c])
                    step_t[c] = delta_t[c] * x_row[c]
            else:
                for c in range(LANES):
                    delta_t[c] = dt_row[c]
                    step_t[c] = delta_t[c] * x_row[c]
            for s in range(states):
                b, before, after = B[p, s], h[t, s], h[t + 1, s]
                for c in range(LANES):
                    after[c] = exp(delta_t[c] * A[s, c]) * before[c] + b * step_t[c]
            t += 1

    zero = x.dtype.type(0)
    dh = np.zeros((states, LANES), x.dtype)
    dstep = np.empty(LANES, x.dtype)
    ddelta = np.empty(LANES, x.dtype)
    sum_dA = np.zeros((states, LANES), x.dtype)
    for i in range(path.outer - 1, -1, -1):
        for j in range(path.inner - 1, -1, -1):
            t -= 1
            p = path.start + i * path.outer_stride + j * path.inner_stride
            x_row, dt_row, dy_row = x[p, first:last], dt[p, first:last], dy[p, first:last]
            dx_row, ddt_row = dx[p, first:last], ddt[p, first:last]
            delta_t, step_t = delta[t], step[t]
            for c in range(LANES):
                ddelta[c] = zero
                dstep[c] = zero
            for s in range(states):
                b, a, before, after = B[p, s], C[p, s], h[t, s], h[t + 1, s]
                db, dc = zero, zero
                for c in range(LANES):
                    grad = dh[s, c] + a * dy_row[c]
                    dc += dy_row[c] * after[c]
                    db += grad * step_t[c]
                    dstep[c] += grad * b
                    dh[s, c] = grad * exp(delta_t[c] * A[s, c])
                for c in range(LANES):
                    through = dh[s, c] * before[c]
                    ddelta[c] += through * A[s, c]
                    sum_dA[s, c] += through * delta_t[c]
                dB[p, s] = db
                dC[p, s] = dc
            for c in range(LANES):
                dx_row[c] += dstep[c] * delta_t[c]
            if use_softplus:
                for c in range(LANES):
                    ddt_row[c] = (ddelta[c] + dstep[c] * x_row[c]) * sigmoid(dt_row[c])
            else:
                for c in range(LANES):
                    ddt_row[c] = ddelta[c] + dstep[c] * x_row[c]
    dA[:, first:last] = sum_dA


@jit(parallel=True)
def _backward(x, dt, B, C, A, path, use_softplus, dy, dx, ddt, dB, dC, dA):  # noqa: ANN001, ANN202
    """Add the gradient of x to dx and write the others.

    ddt like dt; dB, dC (blocks, batch, L, groups, N) and dA (batch, N, rows): the caller sums over blocks and batch.
    """
    batch, _, rows = x.shape
    groups = B.shape[2]
    blocks = rows // groups // LANES
    for job in numba.prange(batch * groups * blocks):
        b, g, block = job // (groups * blocks), job // blocks % groups, job % blocks
        first = (g * blocks + block) * LANES
        last = first + LANES
        _backward_block(
            x[b], dt[b], B[b, :, g], C[b, :, g], A[:, first:last].copy(), path, use_softplus, first,
            dy[b], dx[b], ddt[b], dB[block, b, :, g], dC[block, b, :, g], dA[b],
        )  # fmt: skip


def scan_forward(
    x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A: Tensor, path: Path, use_softplus: bool, y: Tensor
) -> None:
    """Add to y the scan of x along a path.

    Args:
        x: input, (batch, L, rows), contiguous; rows a multiple of groups × LANES.
        dt: step sizes before softplus, like x.
        B: (batch, L, groups, N), contiguous.
        C: like B.
        A: (N, rows), contiguous.
        path: the order of the L positions.
        use_softplus: whether Δ = softplus(dt), else Δ = dt.
        y: like x; added to.
    """
    with threads():
        _forward(*_arrays(x, dt, B, C, A), path, use_softplus, y.numpy())


def scan_backward(
    x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A: Tensor, path: Path, use_softplus: bool, dy: Tensor, dx: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Add to dx the gradient of x and return those of dt, B, C and A; arguments as in :func:`scan_forward`.

    Args:
        dy: gradient of y, like x.
        dx: like x; added to.
    """
    batch, _, rows = x.shape
    blocks = rows // B.shape[2] // LANES
    ddt = torch.empty_like(x)
    dB, dC = x.new_empty(2, blocks, *B.shape)
    dA = x.new_empty(batch, *A.shape)
    with threads():
        _backward(*_arrays(x, dt, B, C, A), path, use_softplus, *_arrays(dy, dx, ddt, dB, dC, dA))
    return ddt, dB.sum(0), dC.sum(0), dA.sum(0)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def padding(rows: int) -> int:
    """Rows to add so that blocks of LANES fill."""
    return -rows % LANES


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
    """See :func:`components.kernels.selective_scan`; arguments are already of one dtype."""
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    groups = B.shape[1]
    extra = padding(u.shape[1] // groups)

    def lanes_last(rows_second: Tensor) -> Tensor:  # (batch, G·d, L) to (batch, L, G·padded d)
        grouped = rows_second.unflatten(1, (groups, -1))
        return F.pad(grouped, (0, 0, 0, extra)).flatten(1, 2).transpose(1, 2).contiguous()

    y = torch.ops.scanseg.selective_scan_numba(
        lanes_last(u),
        lanes_last(delta),
        B.permute(0, 3, 1, 2).contiguous(),
        C.permute(0, 3, 1, 2).contiguous(),
        lanes_last(A[None]).squeeze(0),
        delta_softplus,
    )
    y = y.transpose(1, 2).unflatten(1, (groups, -1))[:, :, : u.shape[1] // groups].flatten(1, 2)
    return y if D is None else y + D[:, None] * u


@torch.library.custom_op("scanseg::selective_scan_numba", mutates_args=(), device_types="cpu")
def _scan(x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A: Tensor, use_softplus: bool) -> Tensor:
    y = torch.zeros_like(x)
    scan_forward(x, dt, B, C, A, _straight(x), use_softplus, y)
    return y


@torch.library.custom_op("scanseg::selective_scan_numba_backward", mutates_args=(), device_types="cpu")
def _scan_backward(
    x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A: Tensor, use_softplus: bool, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    dx = torch.zeros_like(x)
    return dx, *scan_backward(x, dt, B, C, A, _straight(x), use_softplus, dy, dx)


def _straight(x: Tensor) -> Path:
    return Path(start=0, outer=1, outer_stride=0, inner=x.shape[1], inner_stride=1)


@_scan.register_fake
def _(x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A: Tensor, use_softplus: bool) -> Tensor:
    return torch.empty_like(x)


@_scan_backward.register_fake
def _(
    x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A: Tensor, use_softplus: bool, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return tuple(torch.empty_like(tensor) for tensor in (x, dt, B, C, A))


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, ctx.use_softplus = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    gradients = torch.ops.scanseg.selective_scan_numba_backward(*ctx.saved_tensors, ctx.use_softplus, dy.contiguous())
    return *gradients, None


_scan.register_autograd(_differentiate, setup_context=_save)
