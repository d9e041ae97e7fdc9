"""The four-path scan on a CPU: the kernel of ``scan.numba`` walks the image itself, so no scanned copy is ever stored.

The step sizes of one path at a time are the only temporary of the image's size; the backward pass recomputes them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from components.kernels.layout import from_rows, to_rows
from components.kernels.scan.numba import Path, padding, scan_backward, scan_forward


def cross_selective_scan(
    x: Tensor,
    x_proj_weight: Tensor,
    dt_projs_weight: Tensor,
    dt_projs_bias: Tensor,
    A_logs: Tensor,
    Ds: Tensor,
) -> Tensor:
    """See :func:`components.kernels.cross_selective_scan`; arguments are already of one dtype."""
    channels = x.shape[1]
    A, D = -torch.exp(A_logs).unflatten(0, (4, channels)).transpose(1, 2), Ds.unflatten(0, (4, channels)).sum(0)
    if extra := padding(channels):
        x = F.pad(x, (0, 0, 0, 0, 0, extra))
        x_proj_weight, dt_projs_bias, A, D = (F.pad(w, (0, extra)) for w in (x_proj_weight, dt_projs_bias, A, D))
        dt_projs_weight = F.pad(dt_projs_weight, (0, 0, 0, extra))
    y = torch.ops.scanseg.cross_selective_scan_numba(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A, D)
    return y[:, :channels]


def _paths(height: int, width: int) -> tuple[Path, Path, Path, Path]:
    last = height * width - 1
    return (
        Path(0, height, width, width, 1),
        Path(0, width, 1, height, width),
        Path(last, height, -width, width, -1),
        Path(last, width, -1, height, -width),
    )


def _project(x: Tensor, x_proj_weight: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Project all pixels at once: dt (4, B, L, R); B and C (4, B, L, 1, N)."""
    projected = torch.einsum("blc,kmc->kblm", x, x_proj_weight)
    dt, B, C = projected.split([rank, *[(projected.shape[-1] - rank) // 2] * 2], dim=-1)
    return dt.contiguous(), B.unsqueeze(-2).contiguous(), C.unsqueeze(-2).contiguous()


@torch.library.custom_op("scanseg::cross_selective_scan_numba", mutates_args=(), device_types="cpu")
def _scan(
    x: Tensor, x_proj_weight: Tensor, dt_projs_weight: Tensor, dt_projs_bias: Tensor, A: Tensor, D: Tensor
) -> Tensor:
    sequence = to_rows(x)
    dt, B, C = _project(sequence, x_proj_weight, dt_projs_weight.shape[-1])
    y = sequence * D
    for k, path in enumerate(_paths(*x.shape[2:])):
        delta = F.linear(dt[k], dt_projs_weight[k], dt_projs_bias[k])
        scan_forward(sequence, delta, B[k], C[k], A[k], path, True, y)
        del delta  # else it would live until the next one has been computed
    return from_rows(y, x)


@torch.library.custom_op("scanseg::cross_selective_scan_numba_backward", mutates_args=(), device_types="cpu")
def _scan_backward(
    x: Tensor, x_proj_weight: Tensor, dt_projs_weight: Tensor, dt_projs_bias: Tensor, A: Tensor, D: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    sequence, dout = to_rows(x), to_rows(dy)
    dt, B, C = _project(sequence, x_proj_weight, dt_projs_weight.shape[-1])
    dx = dout * D
    dD = torch.einsum("blc,blc->c", sequence, dout)
    dprojected, d_weight, d_bias, dA = [], [], [], []
    for k, path in enumerate(_paths(*x.shape[2:])):
        delta = F.linear(dt[k], dt_projs_weight[k], dt_projs_bias[k])
        ddelta, dB, dC, dA_k = scan_backward(sequence, delta, B[k], C[k], A[k], path, True, dout, dx)
        dprojected.append(torch.cat((ddelta @ dt_projs_weight[k], dB.squeeze(-2), dC.squeeze(-2)), dim=-1))
        d_weight.append(ddelta.flatten(0, 1).T @ dt[k].flatten(0, 1))
        d_bias.append(ddelta.sum((0, 1)))
        dA.append(dA_k)
        del delta, ddelta
    d_proj = torch.stack(dprojected)
    dx += torch.einsum("kblm,kmc->blc", d_proj, x_proj_weight)
    d_x_proj_weight = torch.einsum("kblm,blc->kmc", d_proj, sequence)
    return from_rows(dx, x), d_x_proj_weight, torch.stack(d_weight), torch.stack(d_bias), torch.stack(dA), dD


@_scan.register_fake
def _(x: Tensor, x_proj_weight: Tensor, dt_projs_weight: Tensor, dt_projs_bias: Tensor, A: Tensor, D: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.channels_last)


@_scan_backward.register_fake
def _(
    x: Tensor, x_proj_weight: Tensor, dt_projs_weight: Tensor, dt_projs_bias: Tensor, A: Tensor, D: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    weights = (x_proj_weight, dt_projs_weight, dt_projs_bias, A, D)
    dx = torch.empty_like(x, memory_format=torch.channels_last)
    return dx, *(torch.empty(w.shape, dtype=w.dtype, device=w.device) for w in weights)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
    with torch.autocast("cpu", enabled=False):  # backward() may be called where autocast is on
        return torch.ops.scanseg.cross_selective_scan_numba_backward(*ctx.saved_tensors, dy)


_scan.register_autograd(_differentiate, setup_context=_save)
