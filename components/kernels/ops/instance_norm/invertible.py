"""Instance norm in training on a CPU that keeps one map for the backward pass: its own result.

The result overwrites the input. The normalised input, which the gradients need, is computed again from it, as the leaky
ReLU and the affine map can be undone (Rota Bulò et al., 2018, arXiv 1712.02616). The convolution that follows keeps the
result anyway, so the norm costs no memory at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...layout import trained_by_rows
from ...numba_jit import jit, threads
from .rows import BLOCK, CHUNKS, before_activation, empty, forward, lines_of, narrow, span, tile, widen, width_of

LEAST_WEIGHT = 2.0**-10
"""Weights nearer to 0 than this cannot be divided by without losing half of the digits of float32."""
LEAST_WEIGHT_BFLOAT16 = 2.0**-2


def is_invertible(x: Tensor, weight: Tensor, residual: Tensor | None, negative_slope: float) -> bool:
    """Whether the norm of ``x`` may be computed in place and be undone.

    Args:
        x: (B, C, *spatial), which a convolution made.
        weight: (C).
        residual: added before the activation, or None. In bfloat16 its rounding would be that of the input.
        negative_slope: of the activation.
    """
    if x.is_leaf or x._is_view() or not trained_by_rows(x) or negative_slope < 1e-3:
        return False
    if x.dtype == torch.bfloat16:
        return residual is None and bool(weight.detach().abs().min() >= LEAST_WEIGHT_BFLOAT16)
    return bool(weight.detach().abs().min() >= LEAST_WEIGHT)


@jit()
def _normalised(y, steep, gain, shift, n):  # noqa: ANN001, ANN202
    """Write what was normalised, before weight and bias, of one line of the result to n."""
    one, zero = n.dtype.type(1), n.dtype.type(0)
    for c in range(len(n)):
        number = widen(y[c])
        n[c] = number * (one if number > zero else steep) * gain[c] + shift[c]


@jit()
def _without(residual, gain, n):  # noqa: ANN001, ANN202
    for c in range(len(n)):
        n[c] -= widen(residual[c]) * gain[c]


@jit(parallel=True)
def _sums(y, dy, residual, has_residual, slope, gain, shift, dresidual, sums, products):  # noqa: ANN001, ANN202
    """Sums over each chunk of dz, the gradient before the activation, and of dz · n; dz goes to dresidual."""
    batch, lines, width = y.shape
    steep = gain.dtype.type(1) / slope
    for job in numba.prange(batch * CHUNKS):
        b, chunk = job // CHUNKS, job % CHUNKS
        first, last = span(chunk, lines)
        sums_c, products_c = sums[b, chunk], products[b, chunk]
        total = np.empty(width, gain.dtype)
        product = np.empty(width, gain.dtype)
        dz = np.empty(width, gain.dtype)
        n = np.empty(width, gain.dtype)
        sums_c[:] = 0.0
        products_c[:] = 0.0
        for begin in range(first, last, BLOCK):
            total[:] = 0
            product[:] = 0
            for r in range(begin, min(begin + BLOCK, last)):
                before_activation(dy[b, r], y[b, r], slope, dz)
                _normalised(y[b, r], steep, gain, shift, n)
                if has_residual:
                    _without(residual[b, r], gain, n)
                    dother = dresidual[b, r]
                    for c in range(width):
                        dother[c] = narrow(dz[c], dother)
                for c in range(width):
                    total[c] += dz[c]
                    product[c] += dz[c] * n[c]
            for c in range(width):
                sums_c[c] += total[c]
                products_c[c] += product[c]


@jit(parallel=True)
def _gradient(y, dy, residual, has_residual, slope, gain, shift, a, k, s, dx):  # noqa: ANN001, ANN202
    """Write dx = a · dz + k · n + s; a, k and s are (batch, W)."""
    batch, lines, width = y.shape
    steep = gain.dtype.type(1) / slope
    for job in numba.prange(batch * CHUNKS):
        b, chunk = job // CHUNKS, job % CHUNKS
        first, last = span(chunk, lines)
        a_b, k_b, s_b = a[b], k[b], s[b]
        dz = np.empty(width, gain.dtype)
        n = np.empty(width, gain.dtype)
        for r in range(first, last):
            before_activation(dy[b, r], y[b, r], slope, dz)
            _normalised(y[b, r], steep, gain, shift, n)
            if has_residual:
                _without(residual[b, r], gain, n)
            line = dx[b, r]
            for c in range(width):
                n[c] = a_b[c] * dz[c] + k_b[c] * n[c] + s_b[c]
            for c in range(width):
                line[c] = narrow(n[c], line)


class InvertibleNorm(torch.autograd.Function):
    """Arguments and result as :func:`components.kernels.instance_norm`; x is overwritten by the result.

    With a function, the residual is computed once more from its arguments in the backward pass instead of being kept.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        residual: Tensor | None,
        eps: float,
        negative_slope: float,
        again: Callable[..., Tensor] | None,
        *arguments: Tensor,
    ) -> Tensor:
        """Normalise in place."""
        _, rstd = forward(x, weight, bias, residual, eps, negative_slope, x)
        ctx.mark_dirty(x)
        ctx.negative_slope, ctx.again = negative_slope, again
        ctx.save_for_backward(x, weight, bias, torch.from_numpy(rstd), *([residual] if again is None else arguments))
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight, bias and residual."""
        y, weight, bias, rstd, *others = ctx.saved_tensors
        residual = others[0] if ctx.again is None else ctx.again(*others).to(y.dtype)
        width, dtype = width_of(y), weight.detach().numpy().dtype
        slope, size, batch, channels = dtype.type(ctx.negative_slope), y[0, 0].numel(), *y.shape[:2]
        dx, dresidual = empty(y), None if residual is None else empty(y)
        lines, gradient = lines_of(y, width), lines_of(dy, width)
        other = lines if residual is None else lines_of(residual, width)
        dother = lines if dresidual is None else lines_of(dresidual, width)
        exact = weight.detach().numpy().astype(np.float64)
        gain, shift = (np.tile(v, width // channels).astype(dtype) for v in (1 / exact, -bias.numpy() / exact))
        given = lines, gradient, other, residual is not None, slope, gain, shift
        sums, products = np.empty((2, batch, CHUNKS, width))
        with threads():
            _sums(*given, dother, sums, products)
            sums, products = (s.reshape(batch, -1, channels).sum(1) for s in (sums, products))
            a = exact * rstd.numpy()
            _gradient(
                *given,
                *(tile(v, width, dtype) for v in (a, -a * products / size, -a * sums / size)),
                lines_of(dx, width),
            )
        dweight, dbias = (torch.from_numpy(v.sum(0)).to(weight.dtype) for v in (products, sums))
        return dx, dweight, dbias, dresidual, None, None, None, *([] if ctx.again is None else [None] * len(others))
