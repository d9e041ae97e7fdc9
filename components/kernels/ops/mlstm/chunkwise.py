"""The mLSTM cell in chunks, portable: O(S) memory, matrix products in place of a step-by-step recurrence.

The sequence is cut into chunks. A matrix state C and a vector state z carry everything before a chunk, scaled by the
running maximum m of the log weights; inside a chunk the parallel form of ``naive`` is used. A block of chunks small
enough for a processor's cache is computed at once, apart from the scan over its states; blocks follow one another.
Between forward and backward pass only inputs, output and one state a block are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...custom_op import custom_op
from ...registry import recording
from .naive import EPSILON, LEAST_PEAK

# Measured with heads of width 128 on two AVX-512 cores.
CHUNK = 64
CHUNKS_IN_BLOCK = 8


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> Tensor:
    """The mLSTM cell of :func:`components.kernels.mlstm` for any sequence length, differentiable once.

    Args:
        q: queries, (B, heads, S, d).
        k: keys, (B, heads, S, d).
        v: values, (B, heads, S, d).
        i: input gate pre-activations, (B, heads, S).
        f: forget gate pre-activations, (B, heads, S).

    Returns:
        h, (B, heads, S, d).
    """
    return (_forward if recording() else _operator)(q, k, v, i, f)[0]


class _Carry(NamedTuple):
    """What R = B · heads rows remember between two chunks: C (R, d, d), z (R, d) and the log scale m of both (R)."""

    state: Tensor
    vector: Tensor
    peak: Tensor


class _Weights(NamedTuple):
    """Exponentials of the gates in a block of N chunks of L steps; none exceeds 1 but ``floor``.

    Attributes:
        inner: weight of step j for step t of the same chunk, (R·N, L, L), zero for j > t.
        outer: weight of the state before the chunk for step t, (R·N, L).
        entering: weight of step j in the state after the chunk, (R·N, L).
        keep: weight of the state before the chunk in the state after it, (R, N).
        floor: exp(−m_t), the least normaliser, (R·N, L).
        peak: m after the block, (R).
    """

    inner: Tensor
    outer: Tensor
    entering: Tensor
    keep: Tensor
    floor: Tensor
    peak: Tensor


def _weights(i: Tensor, log_forget: Tensor, peak: Tensor) -> _Weights:
    length = i.shape[-1]
    log_decay = log_forget[..., None].expand(*log_forget.shape, length).tril(-1).cumsum(-2)
    future = torch.ones(length, length, dtype=torch.bool, device=i.device).triu(1)
    log_inner = (log_decay + i[..., None, :]).masked_fill(future, -torch.inf)
    inner_peak = log_inner.amax(-1)
    from_start = log_forget.cumsum(-1)
    running = [peak]
    for n in range(i.shape[1]):
        running.append(torch.maximum(from_start[:, n, -1] + running[-1], inner_peak[:, n, -1]))
    before, after = torch.stack(running[:-1], 1), torch.stack(running[1:], 1)
    log_outer = from_start + before[..., None]
    step_peak = torch.maximum(log_outer, inner_peak)
    return _Weights(
        inner=torch.exp(log_inner - step_peak[..., None]).flatten(0, 1),
        outer=torch.exp(log_outer - step_peak).flatten(0, 1),
        entering=torch.exp(log_inner[..., -1, :] - after[..., None]).flatten(0, 1),
        keep=torch.exp(from_start[..., -1] + before - after),
        floor=torch.exp(-step_peak.clamp(min=LEAST_PEAK)).flatten(0, 1),
        peak=running[-1],
    )


def _scan(keep: Tensor, update: Tensor, state: Tensor, reverse: bool = False) -> tuple[Tensor, Tensor]:
    """Run s ← keep · s + update along the chunks, or from the last one back: (s that each chunk meets, last s)."""
    rows, chunks = keep.shape
    update = update.unflatten(0, (rows, chunks))
    keep = keep.reshape(rows, chunks, *[1] * (update.ndim - 2))
    met = []
    for n in reversed(range(chunks)) if reverse else range(chunks):
        met.append(state)
        state = torch.addcmul(update[:, n], state, keep[:, n])
    return torch.stack(met[::-1] if reverse else met, 1).flatten(0, 1), state


def _blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Cut tensors (B, heads, S, …) into blocks (R, N, L, …); zeros fill up the last chunk, where no step sees them."""
    length = tensors[0].shape[2]
    chunk = min(CHUNK, length)
    span = chunk * CHUNKS_IN_BLOCK
    for start in range(0, length, span):
        block = (x[:, :, start : start + span].flatten(0, 1) for x in tensors)
        yield tuple(_filled(x, chunk).unflatten(1, (-1, chunk)) for x in block)


def _filled(x: Tensor, chunk: int) -> Tensor:
    missing = -x.shape[1] % chunk
    return F.pad(x, (*[0, 0] * (x.ndim - 2), 0, missing)) if missing else x


def _join(blocks: list[Tensor], like: Tensor) -> Tensor:
    """Put (R·N, L, …) of all blocks together to the shape of ``like``, (B, heads, S, …)."""
    rows = like.shape[0] * like.shape[1]
    whole = torch.cat([x.reshape(rows, -1, *x.shape[2:]) for x in blocks], 1)
    return whole[:, : like.shape[2]].reshape(like.shape).contiguous()


def _forward(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return h and what is carried into each block: states (M, R, d, d), vectors (M, R, d), peaks (M, R)."""
    rows, width = q.shape[0] * q.shape[1], q.shape[-1]
    carry = _Carry(q.new_zeros(rows, width, width), q.new_zeros(rows, width), q.new_full((rows,), -torch.inf))
    outputs, carries = [], []
    for i_, log_forget, *qkv in _blocks(i, F.logsigmoid(f), q, k, v):
        carries.append(carry)
        q_, k_, v_ = (x.flatten(0, 1) for x in qkv)
        weights = _weights(i_, log_forget, carry.peak)
        k_entering = k_ * weights.entering[..., None]
        state, last_state = _scan(weights.keep, k_entering.transpose(1, 2) @ v_, carry.state)
        vector, last_vector = _scan(weights.keep, k_entering.sum(-2), carry.vector)
        carry = _Carry(last_state, last_vector, weights.peak)
        q_ = q_ * width**-0.5
        q_leaving = q_ * weights.outer[..., None]
        scores = (q_ @ k_.transpose(1, 2)) * weights.inner
        total = scores.sum(-1) + (q_leaving @ vector[..., None]).squeeze(-1)
        normaliser = torch.maximum(total.abs(), weights.floor) + EPSILON
        outputs.append(torch.baddbmm(q_leaving @ state, scores, v_) / normaliser[..., None])
    return _join(outputs, q), *(torch.stack(x) for x in zip(*carries, strict=True))


def _backward(
    grad: Tensor, carries: list[Tensor], h: Tensor, q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    scale = q.shape[-1] ** -0.5
    d_last_state, d_last_vector = torch.zeros_like(carries[0][0]), torch.zeros_like(carries[1][0])
    gradients = []
    blocks = list(_blocks(i, F.logsigmoid(f), q, k, v, h, grad))
    for (i_, log_forget, *others), *carry in reversed(list(zip(blocks, *carries, strict=True))):
        q_, k_, v_, h_, grad_ = (x.flatten(0, 1) for x in others)
        carry = _Carry(*carry)
        weights = _weights(i_, log_forget, carry.peak)
        inner, outer, entering, keep, floor, _ = weights
        k_entering = k_ * entering[..., None]
        state, _ = _scan(keep, k_entering.mT @ v_, carry.state)
        vector, _ = _scan(keep, k_entering.sum(-2), carry.vector)
        q_ = q_ * scale
        q_leaving = q_ * outer[..., None]
        scores = (q_ @ k_.mT) * inner
        total = scores.sum(-1) + (q_leaving @ vector[..., None]).squeeze(-1)
        normaliser = torch.maximum(total.abs(), floor) + EPSILON

        d_normaliser = -(grad_ * h_).sum(-1) / normaliser
        d_numerator = grad_ / normaliser[..., None]
        d_total = torch.where(total.abs() > floor, d_normaliser * total.sign(), 0.0)
        d_state, d_last_state = _scan(keep, q_leaving.mT @ d_numerator, d_last_state, reverse=True)
        d_vector, d_last_vector = _scan(
            keep, (q_leaving.mT @ d_total[..., None]).squeeze(-1), d_last_vector, reverse=True
        )

        d_scores = d_numerator @ v_.mT + d_total[..., None]
        d_inner = d_scores * scores
        d_scores = d_scores * inner
        dq_outer = torch.baddbmm(d_total[..., None] * vector[:, None], d_numerator, state.mT) * outer[..., None]
        dk_entering = (v_ @ d_state.mT + d_vector[:, None]) * entering[..., None]
        d_entering = (k_ * dk_entering).sum(-1)
        d_keep = ((state * d_state).sum((-2, -1)) + (vector * d_vector).sum(-1)) * keep.flatten()
        d_log_forget = (
            _suffix_sum(d_inner, -2).tril(-1).sum(-1)
            + _suffix_sum((q_ * dq_outer).sum(-1), -1)
            + F.pad(d_entering[:, :-1], (1, 0)).cumsum(-1)
            + d_keep[:, None]
        )
        gradients.append(
            (
                torch.baddbmm(dq_outer, d_scores, k_) * scale,
                torch.baddbmm(dk_entering, d_scores.mT, q_),
                torch.baddbmm(k_entering @ d_state, scores.mT, d_numerator),
                d_inner.sum(-2) + d_entering,
                d_log_forget,
                d_normaliser * EPSILON,
            )
        )
    joined = zip(zip(*reversed(gradients), strict=True), (q, k, v, i, f, f), strict=True)
    dq, dk, dv, di, d_log_forget, dm = (_join(pieces, like) for pieces, like in joined)

    # The maximum m_t cancels out of h but for the 1e-6: its gradient goes to the step that attains it.
    best = (i - F.logsigmoid(f).cumsum(-1)).cummax(-1).indices
    dm_received = torch.zeros_like(dm).scatter_add(-1, best, dm)
    df = (d_log_forget + _suffix_sum(dm - dm_received, -1)) * torch.sigmoid(-f)
    return dq, dk, dv, di + dm_received, df


def _suffix_sum(x: Tensor, dim: int) -> Tensor:
    return x.flip(dim).cumsum(dim).flip(dim)


@custom_op("mlstm_chunkwise", device_type=None)
def _operator(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _forward(q, k, v, i, f)


@custom_op("mlstm_chunkwise_backward", device_type=None)
def _operator_backward(
    grad: Tensor, carries: list[Tensor], h: Tensor, q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _backward(grad, carries, h, q, k, v, i, f)


@_operator.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows, width = q.shape[0] * q.shape[1], q.shape[-1]
    blocks = -(-q.shape[2] // (min(CHUNK, q.shape[2]) * CHUNKS_IN_BLOCK))
    carries = q.new_empty(blocks, rows, width, width), q.new_empty(blocks, rows, width), q.new_empty(blocks, rows)
    return q.new_empty(q.shape), *carries


@_operator_backward.register_fake
def _(
    grad: Tensor, carries: list[Tensor], h: Tensor, q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return tuple(x.new_empty(x.shape) for x in (q, k, v, i, f))


def _setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    h, *carries = output
    ctx.save_for_backward(*inputs, h, *carries)


def _differentiate(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    q, k, v, i, f, h, *carries = ctx.saved_tensors
    return _operator_backward(grad, carries, h, q, k, v, i, f)


_operator.register_autograd(_differentiate, setup_context=_setup_context)
