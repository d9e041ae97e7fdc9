"""The selective scan on a CPU, compiled by numba.

One pair of loops serves ``selective_scan`` and ``cross_selective_scan``: a scan walks along one path or along several.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...custom_op import custom_op
from ...numba_jit import threads
from .numba_loops import LANES, TILE, backward, forward


class Path(NamedTuple):
    """The order of a scan: step (i, j), i outer, is at position start + i·outer_stride + j·inner_stride."""

    start: int
    outer: int
    outer_stride: int
    inner: int
    inner_stride: int


class Scan(NamedTuple):
    """What is scanned: G groups of rows, each along the same K paths with its own parameters, Q = G·K.

    With p the parameters of path k of group g at a position, columns (g·K + k)·(R + 2N) and on of ``parameters``, and
    q = g·K + k, the step sizes are softplus(weight[q] p[:R] + bias[q]), or softplus(dt + bias[q]) for R = 0; B is
    p[R : R + N] and C is p[R + N :].

    Args:
        x: (batch, L, G·d), contiguous; d is a multiple of LANES.
        dt: like x for R = 0, else anything.
        parameters: (batch, L, Q·(R + 2N)), contiguous.
        weight: (Q, d, R).
        bias: (Q, d).
        A: (Q, d, N).
        D: (Q, d).
        paths: the order of the L positions.
        use_softplus: whether step sizes go through softplus.
    """

    x: Tensor
    dt: Tensor
    parameters: Tensor
    weight: Tensor
    bias: Tensor
    A: Tensor
    D: Tensor
    paths: tuple[Path, ...]
    use_softplus: bool


def scan_forward(scan: Scan, keep: bool) -> tuple[Tensor, Tensor]:
    """The result, like x, and if they are to be kept the states before each tile, which :func:`scan_backward` needs."""
    batch, _, rows = scan.x.shape
    blocks, states = rows // LANES, scan.A.shape[-1]
    y = torch.empty_like(scan.x)
    kept = scan.x.new_empty(kept_shape(scan.x, scan.A, scan.paths, keep))
    temporary = scan.x.new_empty(batch * blocks, 1 + scan.weight.shape[-1] + 2 * states + TILE + 1, LANES)
    with threads():
        forward(*_arrays(scan), temporary.numpy(), _lanes(y), kept.numpy())
    return y, kept


def scan_backward(scan: Scan, kept: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients from that of the result, ``dy`` like x.

    Returns:
        Those of x, of the step sizes before softplus (K, batch, L, G·d), of all B and C (batch, L, Q, 2N), of bias, A
        and D like the scan's.
    """
    x, paths = scan.x, scan.paths
    (batch, length, rows), (number, channels, rank) = x.shape, scan.weight.shape
    blocks, states = rows // LANES, scan.A.shape[-1]
    dx = torch.empty_like(x)
    ddt = x.new_empty(len(paths), *x.shape)
    dBC = x.new_empty(channels // LANES, batch, length, number, 2 * states)
    sums = x.new_empty(batch, blocks, len(paths), 2 + states, LANES)
    temporary = x.new_empty(batch * blocks, 1 + rank + 2 * states + 6 * TILE + 1, LANES)
    with threads():
        backward(
            *_arrays(scan), temporary.numpy(), kept.numpy(), _lanes(dy), _lanes(dx),
            ddt.unflatten(-1, (-1, LANES)).numpy(), dBC.numpy(), sums.numpy(),
        )  # fmt: skip
    # (batch, G, blocks of a group, K, 2 + N, LANES) to (2 + N, G, K, blocks of a group, LANES)
    sums = sums.sum(0).unflatten(0, (number // len(paths), -1)).permute(3, 0, 2, 1, 4)
    dbias, dD, dA = sums.reshape(2 + states, number, channels).split([1, 1, states])
    return dx, ddt, dBC.sum(0), dbias[0].clone(), dA.permute(1, 2, 0).contiguous(), dD[0].clone()


def _lanes(rows: Tensor) -> np.ndarray:
    return rows.unflatten(-1, (-1, LANES)).numpy()


def _arrays(scan: Scan) -> tuple:
    x, dt, *others, paths, use_softplus = scan
    arrays = [tensor.detach().contiguous().numpy() for tensor in others]
    return _lanes(x.detach()), _lanes(dt.detach()), *arrays, np.array(paths), use_softplus


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
    groups = B.shape[1]
    per_group = u.shape[1] // groups
    extra = padding(per_group)

    def lanes_last(rows_second: Tensor) -> Tensor:  # (batch, G·d, L) to (batch, L, G·padded d)
        grouped = rows_second.unflatten(1, (groups, -1))
        return F.pad(grouped, (0, 0, 0, extra)).flatten(1, 2).transpose(1, 2).contiguous()

    def by_group(vector: Tensor | None) -> Tensor:  # (G·d) to (G, padded d)
        vector = A.new_zeros(A.shape[0]) if vector is None else vector
        return F.pad(vector.unflatten(0, (groups, -1)), (0, extra))

    y, _ = torch.ops.scanseg.selective_scan_numba(
        lanes_last(u),
        lanes_last(delta),
        torch.cat((B, C), dim=2).permute(0, 3, 1, 2).contiguous(),
        by_group(delta_bias),
        F.pad(A.unflatten(0, (groups, -1)), (0, 0, 0, extra)).contiguous(),
        by_group(D),
        delta_softplus,
        torch.is_grad_enabled(),
    )
    return y.transpose(1, 2).unflatten(1, (groups, -1))[:, :, :per_group].flatten(1, 2)


def _straight(x: Tensor, dt: Tensor, BC: Tensor, bias: Tensor, A: Tensor, D: Tensor, use_softplus: bool) -> Scan:
    path = Path(start=0, outer=1, outer_stride=0, inner=x.shape[1], inner_stride=1)
    return Scan(x, dt, BC.flatten(2), x.new_empty(*bias.shape, 0), bias, A, D, (path,), use_softplus)


@custom_op("selective_scan_numba")
def _scan(
    x: Tensor, dt: Tensor, BC: Tensor, bias: Tensor, A: Tensor, D: Tensor, use_softplus: bool, keep: bool
) -> tuple[Tensor, Tensor]:
    return scan_forward(_straight(x, dt, BC, bias, A, D, use_softplus), keep)


@custom_op("selective_scan_numba_backward")
def _scan_backward(
    x: Tensor, dt: Tensor, BC: Tensor, bias: Tensor, A: Tensor, D: Tensor, use_softplus: bool, kept: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    dx, ddt, dBC, dbias, dA, dD = scan_backward(_straight(x, dt, BC, bias, A, D, use_softplus), kept, dy)
    return dx, ddt[0], dBC, dbias, dA, dD


def kept_shape(x: Tensor, A: Tensor, paths: tuple[Path, ...], keep: bool) -> tuple[int, ...]:
    """Shape of the states that the forward pass keeps: (batch, blocks, K, tiles, N, LANES), without tiles if none."""
    tiles = max(path.outer * -(-path.inner // TILE) for path in paths) if keep else 0
    return x.shape[0], x.shape[-1] // LANES, len(paths), tiles, A.shape[-1], LANES


@_scan.register_fake
def _(
    x: Tensor, dt: Tensor, BC: Tensor, bias: Tensor, A: Tensor, D: Tensor, use_softplus: bool, keep: bool
) -> tuple[Tensor, Tensor]:
    paths = _straight(x, dt, BC, bias, A, D, use_softplus).paths
    return torch.empty_like(x), x.new_empty(kept_shape(x, A, paths, keep))


@_scan_backward.register_fake
def _(*arguments: Any) -> tuple[Tensor, ...]:
    *tensors, _, _, _ = arguments
    return tuple(torch.empty_like(tensor) for tensor in tensors)


def _save(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.use_softplus, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, output[1])


def _differentiate(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, kept = ctx.saved_tensors
    gradients = torch.ops.scanseg.selective_scan_numba_backward(*tensors, ctx.use_softplus, kept, dy.contiguous())
    return *gradients, None, None


_scan.register_autograd(_differentiate, setup_context=_save)
