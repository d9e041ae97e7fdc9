"""The four-path scan on a CPU: the kernel of ``selective_scan.numba`` walks the image itself, and no copy is stored.

The step sizes are of low rank: the kernel multiplies them out where it needs them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...custom_op import custom_op
from ...layout import from_rows, to_rows
from ...linear import linear, weight_gradient
from ..selective_scan.numba import Path, Scan, kept_shape, padding, scan_backward, scan_forward


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
    A, D = -torch.exp(A_logs).unflatten(0, (4, channels)), Ds.unflatten(0, (4, channels))
    if extra := padding(channels):
        x = F.pad(x, (0, 0, 0, 0, 0, extra))
        x_proj_weight, dt_projs_bias, D = (F.pad(w, (0, extra)) for w in (x_proj_weight, dt_projs_bias, D))
        dt_projs_weight, A = (F.pad(w, (0, 0, 0, extra)) for w in (dt_projs_weight, A))
    weights = (x_proj_weight, dt_projs_weight, dt_projs_bias, A, D)
    y, _ = torch.ops.scanseg.cross_selective_scan_numba(x, *weights, torch.is_grad_enabled())
    return y[:, :channels]


def _paths(height: int, width: int) -> tuple[Path, Path, Path, Path]:
    last = height * width - 1
    return (
        Path(0, height, width, width, 1),
        Path(0, width, 1, height, width),
        Path(last, height, -width, width, -1),
        Path(last, width, -1, height, -width),
    )


def _prepare(
    x: Tensor, x_proj_weight: Tensor, dt_projs_weight: Tensor, dt_projs_bias: Tensor, A: Tensor, D: Tensor
) -> Scan:
    rows = to_rows(x)
    parameters = linear(rows, x_proj_weight.flatten(0, 1))
    return Scan(rows, rows, parameters, dt_projs_weight, dt_projs_bias, A, D, _paths(*x.shape[2:]), True)


@custom_op("cross_selective_scan_numba")
def _scan(
    x: Tensor, x_proj_weight: Tensor, dt_projs_weight: Tensor, dt_projs_bias: Tensor, A: Tensor, D: Tensor, keep: bool
) -> tuple[Tensor, Tensor]:
    y, kept = scan_forward(_prepare(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A, D), keep)
    return from_rows(y, x), kept


@custom_op("cross_selective_scan_numba_backward")
def _scan_backward(
    x: Tensor,
    x_proj_weight: Tensor,
    dt_projs_weight: Tensor,
    dt_projs_bias: Tensor,
    A: Tensor,
    D: Tensor,
    kept: Tensor,
    dy: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    scan = _prepare(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A, D)
    dx, ddt, dBC, d_bias, dA, dD = scan_backward(scan, kept, to_rows(dy))
    rows, ddt = scan.x.flatten(0, 1), ddt.flatten(1, 2)
    dt = scan.parameters.flatten(0, 1).unflatten(-1, (4, -1))[..., : dt_projs_weight.shape[-1]].transpose(0, 1)
    # products with the few columns first: the other way round they take several times as long
    d_low_rank = torch.bmm(dt_projs_weight.mT, ddt.mT).permute(2, 0, 1)
    d_parameters = torch.cat((d_low_rank, dBC.flatten(0, 1)), dim=-1).flatten(1)
    dx.flatten(0, 1).addmm_(d_parameters, x_proj_weight.flatten(0, 1))
    d_x_proj_weight = weight_gradient(rows, d_parameters).view_as(x_proj_weight)
    d_weight = torch.bmm(dt.mT, ddt).mT.contiguous()
    return from_rows(dx, x), d_x_proj_weight, d_weight, d_bias, dA, dD


@_scan.register_fake
def _(x: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    *_, A, _, keep = others
    y = torch.empty_like(x, memory_format=torch.channels_last)
    return y, x.new_empty(kept_shape(x.flatten(2).transpose(1, 2), A, _paths(*x.shape[2:]), keep))


@_scan_backward.register_fake
def _(x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    *weights, _, _ = others
    dx = torch.empty_like(x, memory_format=torch.channels_last)
    return dx, *(torch.empty(w.shape, dtype=w.dtype, device=w.device) for w in weights)


def _save(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    *tensors, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, output[1])


def _differentiate(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    with torch.autocast("cpu", enabled=False):  # backward() may be called where autocast is on
        return *torch.ops.scanseg.cross_selective_scan_numba_backward(*ctx.saved_tensors, dy), None


_scan.register_autograd(_differentiate, setup_context=_save)
