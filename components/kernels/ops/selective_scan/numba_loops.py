"""The compiled loops of the selective scan on a CPU: channels across SIMD lanes, batch × channel blocks across threads.

A job takes one block of channels along all of its paths, a tile of steps at a time. The forward pass stores the states
before each tile; the backward pass recomputes those within.
"""

from __future__ import annotations

import math

import numba

from ...numba_jit import jit
from .elementary import LOG2_E, exp2, sigmoid2, softplus2

LANES = 48  # rows that a thread takes at a time: divides the published widths, and is three AVX-512 registers
TILE = 32  # steps that are computed at a time: their temporaries fit into the first cache
RANKS = 6  # columns of the weights of the step sizes that are added at a time: divides the published ranks
_LN_2 = math.log(2)

# Rows of LANES numbers are taken by an index of their own, not by a slice: an index that numba cannot prove to be
# positive costs a loop its vector form, and the bounds of a slice cost time. Temporaries come from PyTorch, which
# aligns them as vectors need. Step sizes are kept divided by log(2), so that powers are to base two.


@jit()
def _parameters(weight, bias, A, first, weights, rates):  # noqa: ANN001, ANN202
    """Bias and columns of weight (d, R), divided by log(2), to weights (1 + R, LANES); A (d, N) to rates (N, LANES)."""
    scale = weights.dtype.type(LOG2_E)
    for c in range(LANES):
        row = weight[first + c]
        weights[0, c] = scale * bias[first + c]
        for r in range(len(row)):
            weights[1 + r, c] = scale * row[r]
        for s in range(A.shape[1]):
            rates[s, c] = A[first + c, s]


@jit()
def _direct(D, q, number, first, direct):  # noqa: ANN001, ANN202
    """Write the sum of D (Q, d) over the paths q … q + number − 1 to direct (LANES)."""
    for c in range(LANES):
        direct[c] = D[q, first + c]
        for k in range(1, number):
            direct[c] += D[q + k, first + c]


@jit()
def _add_ranks(parameters, bias, weights, column, begin, stride, count, z):  # noqa: ANN001, ANN202
    """Add to z (count, LANES) RANKS numbers of parameters, from column on, times weights; begin with bias, if any."""
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    for t in range(count):
        row, n = z[t], parameters[begin + t * stride, column : column + RANKS]
        n0, n1, n2, n3, n4, n5 = n[0], n[1], n[2], n[3], n[4], n[5]
        if len(bias) > 0:
            for c in range(LANES):
                row[c] = bias[c] + n0 * w0[c] + n1 * w1[c] + n2 * w2[c] + n3 * w3[c] + n4 * w4[c] + n5 * w5[c]
        else:
            for c in range(LANES):
                row[c] += n0 * w0[c] + n1 * w1[c] + n2 * w2[c] + n3 * w3[c] + n4 * w4[c] + n5 * w5[c]


@jit()
def _steps(dt, parameters, weights, column, begin, stride, count, block, z):  # noqa: ANN001, ANN202
    """Write step sizes before softplus, divided by log(2), to z (count, LANES)."""
    bias, rank = weights[0], len(weights) - 1
    if rank == 0:
        scale = z.dtype.type(LOG2_E)
        for t in range(count):
            row, dt_row = z[t], dt[begin + t * stride, block]
            for c in range(LANES):
                row[c] = bias[c] + scale * dt_row[c]
        return
    whole = rank - rank % RANKS
    if whole == 0:
        z[:count] = bias
    for r in range(0, whole, RANKS):
        _add_ranks(parameters, bias[: 0 if r else LANES], weights[1 + r :], column + r, begin, stride, count, z)
    for r in range(whole, rank):
        w = weights[1 + r]
        for t in range(count):
            row, number = z[t], parameters[begin + t * stride, column + r]
            for c in range(LANES):
                row[c] += number * w[c]


@jit()
def _softplus(z, count):  # noqa: ANN001, ANN202
    for t in range(count):
        row = z[t]
        for c in range(LANES):
            row[c] = softplus2(row[c])


@jit()
def _advance(x, parameters, b_column, c_column, begin, stride, count, block, delta, rate, h, y):  # noqa: ANN001, ANN202
    """Run one state through a tile and add its part of the result to y."""
    ln_2 = x.dtype.type(_LN_2)
    for t in range(count):
        p = begin + t * stride
        x_row, y_row, delta_t = x[p, block], y[p, block], delta[t]
        b, a = ln_2 * parameters[p, b_column], parameters[p, c_column]
        for c in range(LANES):
            state = exp2(rate[c] * delta_t[c]) * h[c] + b * (delta_t[c] * x_row[c])
            h[c] = state
            y_row[c] += a * state


@jit()
def _forward_block(x, dt, parameters, weight, bias, A, D, paths, use_softplus, g, block, temporary, y, kept):  # noqa: ANN001, ANN202
    """All paths of one block: x, dt, y (L, blocks, LANES); parameters (L, ·); kept (K, tiles, N, LANES).

    Odd blocks take the paths in the reverse order: their rows of y lie beside those of even ones, and threads that
    write there at the same time take each other's cache.
    """
    _, channels, rank = weight.shape
    states = A.shape[2]
    number = paths.shape[0]
    first = block * LANES - g * channels
    weights, rest = temporary[: 1 + rank], temporary[1 + rank :]
    rates, h, delta, direct = rest[:states], rest[states : 2 * states], rest[2 * states :], rest[2 * states + TILE]
    _direct(D, g * number, number, first, direct)
    for turn in range(number):
        k = number - 1 - turn if block % 2 else turn
        q = g * number + k
        column = q * (rank + 2 * states)
        _parameters(weight[q], bias[q], A[q], first, weights, rates)
        h[:] = 0
        tile = 0
        start, outer, outer_stride, inner, stride = paths[k]
        for i in range(outer):
            for j in range(0, inner, TILE):
                begin, count = start + i * outer_stride + j * stride, min(TILE, inner - j)
                _steps(dt, parameters, weights, column, begin, stride, count, block, delta)
                if use_softplus:
                    _softplus(delta, count)
                if turn == 0:
                    for t in range(count):
                        x_row, y_row = x[begin + t * stride, block], y[begin + t * stride, block]
                        for c in range(LANES):
                            y_row[c] = direct[c] * x_row[c]
                for s in range(states):
                    if kept.shape[1] > 0:
                        kept[k, tile, s, :] = h[s]
                    b_column = column + rank + s
                    _advance(
                        x, parameters, b_column, b_column + states, begin, stride, count, block, delta, rates[s], h[s],
                        y,
                    )  # fmt: skip
                tile += 1
        kept[k, tile:] = 0  # the other paths may have more tiles


@jit(parallel=True)
def forward(x, dt, parameters, weight, bias, A, D, paths, use_softplus, temporary, y, kept) -> None:  # noqa: ANN001
    """Write y and kept: x, dt, y (batch, L, blocks, LANES); kept (batch, blocks, K, tiles or 0, N, LANES)."""
    batch, _, blocks, _ = x.shape
    groups = weight.shape[0] // paths.shape[0]
    for job in numba.prange(batch * blocks):
        b, block = job // blocks, job % blocks
        _forward_block(
            x[b], dt[b], parameters[b], weight, bias, A, D, paths, use_softplus, block * groups // blocks, block,
            temporary[job], y[b], kept[b, block],
        )  # fmt: skip


@jit()
def _back_block(x, dt, parameters, weight, bias, A, D, paths, use_softplus, block, work, kept, dy, dx, ddt, dBC, sums):  # noqa: ANN001, ANN202
    """One block, shapes as in :func:`_forward_block`; ddt (K, L, blocks, LANES); dBC (L, Q, 2N) of this block.

    sums (K, 2 + N, LANES): gradients of the bias, of D, the same for every k, and of A.
    """
    _, channels, rank = weight.shape
    states = A.shape[2]
    number = paths.shape[0]
    g = block * (weight.shape[0] // number) // x.shape[1]
    first = block * LANES - g * channels
    weights, rest = work[: 1 + rank], work[1 + rank :]
    rates, dh, rest = rest[:states], rest[states : 2 * states], rest[2 * states :]
    delta, slope, decay, dstep, ddelta, h = (
        rest[:TILE], rest[TILE : 2 * TILE], rest[2 * TILE : 3 * TILE], rest[3 * TILE : 4 * TILE],
        rest[4 * TILE : 5 * TILE], rest[5 * TILE :],
    )  # fmt: skip
    direct, ddirect = rest[0], rest[1]
    _direct(D, g * number, number, first, direct)
    ddirect[:] = 0
    for p in range(x.shape[0]):
        x_row, dy_row, dx_row = x[p, block], dy[p, block], dx[p, block]
        for c in range(LANES):
            dx_row[c] = direct[c] * dy_row[c]
            ddirect[c] += x_row[c] * dy_row[c]
    sums[:] = 0
    sums[:, 1] = ddirect
    zero, one, ln_2 = x.dtype.type(0), x.dtype.type(1), x.dtype.type(_LN_2)
    for turn in range(number):
        k = number - 1 - turn if block % 2 else turn
        q = g * number + k
        column = q * (rank + 2 * states)
        _parameters(weight[q], bias[q], A[q], first, weights, rates)
        dbias, dA = sums[k, 0], sums[k, 2:]
        dh[:] = 0
        start, outer, outer_stride, inner, stride = paths[k]
        per_line = -(-inner // TILE)
        for tile in range(outer * per_line - 1, -1, -1):
            i, j = tile // per_line, tile % per_line * TILE
            begin, count = start + i * outer_stride + j * stride, min(TILE, inner - j)
            _steps(dt, parameters, weights, column, begin, stride, count, block, delta)
            for t in range(count):
                delta_t, slope_t = delta[t], slope[t]
                if use_softplus:
                    for c in range(LANES):
                        slope_t[c] = sigmoid2(delta_t[c])
                    for c in range(LANES):
                        delta_t[c] = softplus2(delta_t[c])
                else:
                    slope_t[:] = one
            dstep[:] = 0
            ddelta[:] = 0
            for s in range(states):
                rate, dh_s, dA_s = rates[s], dh[s], dA[s]
                h[0, :] = kept[k, tile, s]
                for t in range(count):
                    p = begin + t * stride
                    x_row, delta_t, decay_t, h_t, h_next = x[p, block], delta[t], decay[t], h[t], h[t + 1]
                    b = ln_2 * parameters[p, column + rank + s]
                    for c in range(LANES):
                        decay_t[c] = exp2(rate[c] * delta_t[c])
                    for c in range(LANES):
                        h_next[c] = decay_t[c] * h_t[c] + b * (delta_t[c] * x_row[c])
                for t in range(count - 1, -1, -1):
                    p = begin + t * stride
                    x_row, dy_row, delta_t, decay_t = x[p, block], dy[p, block], delta[t], decay[t]
                    h_t, h_next, dstep_t, ddelta_t = h[t], h[t + 1], dstep[t], ddelta[t]
                    b, a = parameters[p, column + rank + s], parameters[p, column + rank + states + s]
                    db, dc = zero, zero
                    for c in range(LANES):
                        grad = dh_s[c] + a * dy_row[c]
                        dc += dy_row[c] * h_next[c]
                        db += grad * (delta_t[c] * x_row[c])
                        dstep_t[c] += grad * b
                        dh_s[c] = grad * decay_t[c]
                    for c in range(LANES):
                        through = dh_s[c] * h_t[c]
                        ddelta_t[c] += through * rate[c]
                        dA_s[c] += through * delta_t[c]
                    dBC[p, q, s] = ln_2 * db
                    dBC[p, q, states + s] = dc
            for t in range(count):
                p = begin + t * stride
                x_row, dx_row, ddt_row = x[p, block], dx[p, block], ddt[k, p, block]
                delta_t, slope_t, dstep_t, ddelta_t = delta[t], slope[t], dstep[t], ddelta[t]
                for c in range(LANES):
                    dx_row[c] += dstep_t[c] * (ln_2 * delta_t[c])
                for c in range(LANES):
                    ddt_row[c] = (ddelta_t[c] + dstep_t[c] * x_row[c]) * slope_t[c]
                for c in range(LANES):
                    dbias[c] += ddt_row[c]
        for s in range(states):
            dA_s = dA[s]
            for c in range(LANES):
                dA_s[c] *= ln_2


@jit(parallel=True)
def backward(x, dt, parameters, weight, bias, A, D, paths, use_softplus, work, kept, dy, dx, ddt, dBC, sums) -> None:  # noqa: ANN001
    """Write dx (batch, L, blocks, LANES), ddt (K, ·), dBC (blocks / G, batch, L, Q, 2N) and sums (batch, blocks, ·)."""
    batch, _, blocks, _ = x.shape
    groups = weight.shape[0] // paths.shape[0]
    for job in numba.prange(batch * blocks):
        b, block = job // blocks, job % blocks
        g = block * groups // blocks
        _back_block(
            x[b], dt[b], parameters[b], weight, bias, A, D, paths, use_softplus, block, work[job],
            kept[b, block], dy[b], dx[b], ddt[:, b], dBC[block - g * (blocks // groups), b], sums[b, block],
        )  # fmt: skip
