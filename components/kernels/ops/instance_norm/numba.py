"""Instance norm on a CPU, compiled by numba: one pass for the moments, one that normalises, adds and activates."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from ...custom_op import custom_op
from ...layout import channels_last
from ...numba_jit import jit, threads
from .invertible import InvertibleNorm, is_invertible
from .rows import BLOCK, CHUNKS, before_activation, empty, forward, lines_of, narrow, span, tile, widen, width_of


@jit(parallel=True)
def _gradient_sums(x, y, dy, mean, slope, has_residual, dresidual, sums, products):  # noqa: ANN001, ANN202
    """Sums over each chunk of dz, the gradient before the activation, and of dz · (x − mean); dz goes to dresidual."""
    batch, lines, width = x.shape
    for job in numba.prange(batch * CHUNKS):
        b, chunk = job // CHUNKS, job % CHUNKS
        first, last = span(chunk, lines)
        centre, sums_c, products_c = mean[b], sums[b, chunk], products[b, chunk]
        total = np.empty(width, mean.dtype)
        product = np.empty(width, mean.dtype)
        dz = np.empty(width, mean.dtype)
        sums_c[:] = 0.0
        products_c[:] = 0.0
        for begin in range(first, last, BLOCK):
            total[:] = 0
            product[:] = 0
            for r in range(begin, min(begin + BLOCK, last)):
                line = x[b, r]
                before_activation(dy[b, r], y[b, r], slope, dz)
                for c in range(width):
                    total[c] += dz[c]
                    product[c] += dz[c] * (widen(line[c]) - centre[c])
                if has_residual:
                    dother = dresidual[b, r]
                    for c in range(width):
                        dother[c] = narrow(dz[c], dother)
            for c in range(width):
                sums_c[c] += total[c]
                products_c[c] += product[c]


@jit(parallel=True)
def _gradient(x, y, dy, slope, a, k, s, dx):  # noqa: ANN001, ANN202
    """Write dx = a · dz + k · x + s; a, k and s are (batch, W)."""
    batch, lines, width = x.shape
    for job in numba.prange(batch * CHUNKS):
        b, chunk = job // CHUNKS, job % CHUNKS
        first, last = span(chunk, lines)
        a_b, k_b, s_b = a[b], k[b], s[b]
        dz = np.empty(width, a.dtype)
        for r in range(first, last):
            before_activation(dy[b, r], y[b, r], slope, dz)
            line = dx[b, r]
            line[:] = x[b, r]
            for c in range(width):
                line[c] = narrow(a_b[c] * dz[c] + k_b[c] * widen(line[c]) + s_b[c], line)


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
    width, dtype = width_of(x), weight.detach().numpy().dtype
    slope, size = dtype.type(negative_slope), x[0, 0].numel()
    dx, dresidual = empty(x), empty(x) if has_residual else x.new_empty(0)
    lines = [lines_of(tensor, width) for tensor in (x, y, dy)]
    other = lines_of(dresidual, width) if has_residual else lines[0]
    sums, products = np.empty((2, x.shape[0], CHUNKS, width))
    centre = tile(mean.numpy(), width, dtype)
    with threads():
        _gradient_sums(*lines, centre, slope, has_residual, other, sums, products)
        sums, products = (s.reshape(x.shape[0], -1, x.shape[1]).sum(1) for s in (sums, products))
        gain = weight.detach().numpy() * rstd.numpy()
        factor = -gain * np.square(rstd.numpy()) * products / size
        factors = gain, factor, -gain * sums / size - factor * mean.numpy()
        _gradient(*lines, slope, *(tile(vector, width, dtype) for vector in factors), lines_of(dx, width))
    dweight, dbias = (rstd.numpy() * products).sum(0), sums.sum(0)
    return dx, *(torch.from_numpy(vector).to(weight.dtype) for vector in (dweight, dbias)), dresidual


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
