"""The backward pass of the instance norm, compiled by numba.

All gradients follow from dz, the gradient before the activation, and n, the normalised input before weight and bias. n
is computed line by line: from the input of the norm, or from its result where that has overwritten the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import torch
from torch import Tensor

from ...numba_jit import jit, threads
from .rows import BLOCK, CHUNKS, empty, lines_of, narrow, span, tile, widen, width_of


@jit()
def _before_activation(dy, y, slope, dz):  # noqa: ANN001, ANN202
    """Write the gradient before the activation of one line to dz."""
    one, zero = dz.dtype.type(1), dz.dtype.type(0)
    for c in range(len(dz)):
        dz[c] = widen(dy[c]) * (one if widen(y[c]) > zero else slope)


@jit()
def _normalised(source, steep, centre, gain, n):  # noqa: ANN001, ANN202
    """Write (source − centre) · gain of one line to n, numbers below 0 multiplied by ``steep`` first."""
    one, zero = n.dtype.type(1), n.dtype.type(0)
    for c in range(len(n)):
        number = widen(source[c])
        n[c] = (number * (one if number > zero else steep) - centre[c]) * gain[c]


@jit()
def _without(residual, gain, n):  # noqa: ANN001, ANN202
    for c in range(len(n)):
        n[c] -= widen(residual[c]) * gain[c]


@jit(parallel=True)
def _sums(source, steep, centre, gain, residual, is_added, y, dy, slope, dresidual, is_wanted, sums, products):  # noqa: ANN001, ANN202
    """Sums of dz and of dz · n over each chunk; dz goes to dresidual if that is wanted."""
    batch, lines, width = y.shape
    for job in numba.prange(batch * CHUNKS):
        b, chunk = job // CHUNKS, job % CHUNKS
        first, last = span(chunk, lines)
        centre_b, gain_b, sums_c, products_c = centre[b], gain[b], sums[b, chunk], products[b, chunk]
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
                _before_activation(dy[b, r], y[b, r], slope, dz)
                _normalised(source[b, r], steep, centre_b, gain_b, n)
                if is_added:
                    _without(residual[b, r], gain_b, n)
                if is_wanted:
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
def _input_gradient(source, steep, centre, gain, residual, is_added, y, dy, slope, a, k, s, dx):  # noqa: ANN001, ANN202
    """Write dx = a · dz + k · n + s; a, k and s are (batch, W)."""
    batch, lines, width = y.shape
    for job in numba.prange(batch * CHUNKS):
        b, chunk = job // CHUNKS, job % CHUNKS
        first, last = span(chunk, lines)
        centre_b, gain_b, a_b, k_b, s_b = centre[b], gain[b], a[b], k[b], s[b]
        dz = np.empty(width, gain.dtype)
        n = np.empty(width, gain.dtype)
        for r in range(first, last):
            _before_activation(dy[b, r], y[b, r], slope, dz)
            _normalised(source[b, r], steep, centre_b, gain_b, n)
            if is_added:
                _without(residual[b, r], gain_b, n)
            line = dx[b, r]
            for c in range(width):
                n[c] = a_b[c] * dz[c] + k_b[c] * n[c] + s_b[c]
            for c in range(width):
                line[c] = narrow(n[c], line)


@dataclass(frozen=True)
class Normalised:
    """How the normalised input is computed: (source · (1 or steep) − residual − centre) · gain.

    Args:
        source: (B, C, *spatial).
        centre: (C) or (B, C), float64.
        gain: (C) or (B, C), float64.
        steep: factor of the numbers below 0.
        residual: (B, C, *spatial), or None.
    """

    source: Tensor
    centre: np.ndarray
    gain: np.ndarray
    steep: float = 1.0
    residual: Tensor | None = None


def gradients(
    n: Normalised, y: Tensor, dy: Tensor, weight: Tensor, rstd: Tensor, negative_slope: float, has_residual: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Gradients of the input, the weight, the bias and the residual, the last None without ``has_residual``.

    Args:
        n: the normalised input.
        y: result of the norm, (B, C, *spatial).
        dy: its gradient.
        weight: (C).
        rstd: reciprocal standard deviations, (B, C) float64.
        negative_slope: of the activation.
        has_residual: whether a residual was added before the activation.
    """
    width, dtype, size, shape = width_of(y), weight.detach().numpy().dtype, y[0, 0].numel(), y.shape[:2]
    source, result, gradient = (lines_of(tensor, width) for tensor in (n.source, y, dy))
    centre, gain = (tile(np.broadcast_to(vector, shape), width, dtype) for vector in (n.centre, n.gain))
    added = source if n.residual is None else lines_of(n.residual, width)
    given = source, dtype.type(n.steep), centre, gain, added, n.residual is not None, result, gradient
    dx, dresidual = empty(y), empty(y) if has_residual else None
    wanted = source if dresidual is None else lines_of(dresidual, width)
    sums, products = np.empty((2, shape[0], CHUNKS, width))
    slope = dtype.type(negative_slope)
    with threads():
        _sums(*given, slope, wanted, has_residual, sums, products)
        sums, products = (parts.reshape(shape[0], -1, shape[1]).sum(1) for parts in (sums, products))
        a = weight.detach().numpy().astype(np.float64) * rstd.numpy()
        factors = (tile(vector, width, dtype) for vector in (a, -a * products / size, -a * sums / size))
        _input_gradient(*given, slope, *factors, lines_of(dx, width))
    dweight, dbias = (torch.from_numpy(vector.sum(0)).to(weight.dtype) for vector in (products, sums))
    return dx, dweight, dbias, dresidual
