"""Instance norm on a CPU, compiled by numba: one pass for the moments, one that normalises, adds and activates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...custom_op import custom_op
from ...layout import channels_last
from .gradients import Normalised, gradients
from .invertible import InvertibleNorm, is_invertible
from .rows import empty, forward


def instance_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    eps: float,
    negative_slope: float,
    inplace: bool,
    again: Any = None,
) -> Tensor:
    """See :func:`components.kernels.instance_norm`; the result is channels-last in memory."""
    if x.dtype == torch.float16:  # numba has none
        residual = None if residual is None else residual.float()
        return instance_norm(x.float(), weight, bias, residual, eps, negative_slope, True).to(x.dtype)
    tensors = x, weight, bias, *([] if residual is None else [residual])
    recorded = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    if recorded and inplace and is_invertible(x, weight, residual, negative_slope):
        function, arguments = again or (None, ())
        return InvertibleNorm.apply(x, weight, bias, residual, eps, negative_slope, function, *arguments)
    if recorded or not inplace:
        return torch.ops.scanseg.instance_norm_numba(x, weight, bias, residual, eps, negative_slope)[0]
    x = channels_last(x)
    torch.ops.scanseg.instance_norm_numba_(x, weight, bias, residual, eps, negative_slope)
    return x


@custom_op("instance_norm_numba_", mutates_args=["x"])
def _norm_inplace(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, negative_slope: float
) -> None:
    forward(x, weight, bias, residual, eps, negative_slope, x)
    torch.autograd.graph.increment_version(x)


@custom_op("instance_norm_numba")
def _norm(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, negative_slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    y = empty(x)
    mean, rstd = forward(x, weight, bias, residual, eps, negative_slope, y)
    return y, torch.from_numpy(mean), torch.from_numpy(rstd)


@custom_op("instance_norm_numba_backward")
def _norm_backward(
    x: Tensor,
    weight: Tensor,
    mean: Tensor,
    rstd: Tensor,
    y: Tensor,
    dy: Tensor,
    negative_slope: float,
    has_residual: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n = Normalised(x, mean.numpy(), rstd.numpy())
    dx, dweight, dbias, dresidual = gradients(n, y, dy, weight, rstd, negative_slope, has_residual)
    return dx, dweight, dbias, x.new_empty(0) if dresidual is None else dresidual


@_norm.register_fake
def _(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    statistics = x.new_empty(x.shape[:2], dtype=torch.float64)
    return empty(x), statistics, torch.empty_like(statistics)


@_norm_backward.register_fake
def _(x: Tensor, weight: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    has_residual = others[-1]
    vectors = torch.empty_like(weight), torch.empty_like(weight)
    return empty(x), *vectors, empty(x) if has_residual else x.new_empty(0)


def _save(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, _, residual, _, ctx.negative_slope = inputs
    y, mean, rstd = output
    ctx.has_residual = residual is not None
    ctx.mark_non_differentiable(mean, rstd)
    ctx.save_for_backward(x, weight, mean, rstd, y)


def _differentiate(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    with torch.autocast("cpu", enabled=False):  # backward() may be called where autocast is on
        dx, dweight, dbias, dresidual = torch.ops.scanseg.instance_norm_numba_backward(
            *ctx.saved_tensors, dy, ctx.negative_slope, ctx.has_residual
        )
    return dx, dweight, dbias, dresidual if ctx.has_residual else None, None, None


_norm.register_autograd(_differentiate, setup_context=_save)
