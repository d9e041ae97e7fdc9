"""Rows of channels as the numba kernels of the instance norm read them, and its forward pass.

Rows (channels-last memory) are joined to lines of up to ``LINE`` numbers, so that narrow maps fill SIMD registers as
well as wide ones. The work is cut into the same chunks whatever the number of threads, so that results do not depend on
it. bfloat16 is read and written as such and computed in float32.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from numba import types
from numba.extending import overload
from torch import Tensor

from ...layout import to_rows
from ...numba_jit import jit, threads

LINE = 256
CHUNKS = 32
BLOCK = 32  # lines whose deviations are summed about their own mean while they are in the cache


def widen(stored: Any) -> Any:
    """A stored number as one to compute with: bfloat16, which numba sees as uint16, as float32."""
    return stored


def narrow(number: Any, array: Any) -> Any:
    """A number as it is stored in ``array``; bfloat16 is rounded to the nearest, ties to even."""
    return number


def _widen_bfloat16(stored: Any) -> Any:
    return np.uint32(np.uint32(stored) << np.uint32(16)).view(np.float32)


def _narrow_bfloat16(number: Any, array: Any) -> Any:
    bits = np.float32(number).view(np.uint32)
    rounded = np.uint32(bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    return np.uint16((rounded if number == number else np.uint32(0x7FC00000)) >> np.uint32(16))


@overload(widen)
def _choose_widen(stored: Any) -> Any:
    return _widen_bfloat16 if stored == types.uint16 else widen


@overload(narrow)
def _choose_narrow(number: Any, array: Any) -> Any:
    return _narrow_bfloat16 if array.dtype == types.uint16 else narrow


@jit()
def span(chunk: int, lines: int) -> tuple[int, int]:
    """First and behind the last line of a chunk."""
    return chunk * lines // CHUNKS, (chunk + 1) * lines // CHUNKS


@jit(parallel=True)
def _moments(x, zero, mean, squares):  # noqa: ANN001, ANN202
    """Mean and sum of squared deviations of each chunk: x (batch, lines, W); mean, squares (batch, CHUNKS, W) float64.

    ``zero`` is an array of the dtype to compute in.
    """
    batch, lines, width = x.shape
    for job in numba.prange(batch * CHUNKS):
        b, chunk = job // CHUNKS, job % CHUNKS
        first, last = span(chunk, lines)
        image, mean_c, squares_c = x[b], mean[b, chunk], squares[b, chunk]
        total = np.empty(width, zero.dtype)
        deviation = np.empty(width, zero.dtype)
        mean_c[:] = 0.0
        squares_c[:] = 0.0
        for begin in range(first, last, BLOCK):
            end = min(begin + BLOCK, last)
            total[:] = 0
            deviation[:] = 0
            for r in range(begin, end):
                row = image[r]
                for c in range(width):
                    total[c] += widen(row[c])
            share = total.dtype.type(1.0 / (end - begin))
            for c in range(width):
                total[c] *= share
            for r in range(begin, end):
                row = image[r]
                for c in range(width):
                    d = widen(row[c]) - total[c]
                    deviation[c] += d * d
            new, weight = 1.0 / (end - first), (begin - first) * (end - begin) / (end - first)
            for c in range(width):
                step = total[c] - mean_c[c]
                mean_c[c] += step * (end - begin) * new
                squares_c[c] += deviation[c] + step * step * weight


# LLVM gives up the SIMD form of a loop over arrays that may overlap, or over too many arrays: results are computed
# within one line, and lines go through a buffer.


@jit(parallel=True)
def _normalise(x, mean, scale, shift, residual, has_residual, slope, inplace, y):  # noqa: ANN001, ANN202
    """Write to y, which is x for ``inplace``: x, y and residual (batch, lines, W); mean, scale, shift (batch, W)."""
    batch, lines, width = x.shape
    for job in numba.prange(batch * CHUNKS):
        b, chunk = job // CHUNKS, job % CHUNKS
        first, last = span(chunk, lines)
        m, a, s = mean[b], scale[b], shift[b]
        for r in range(first, last):
            line = y[b, r]
            if not inplace:
                line[:] = x[b, r]
            if has_residual:
                other = residual[b, r]
                for c in range(width):
                    z = (widen(line[c]) - m[c]) * a[c] + s[c] + widen(other[c])
                    line[c] = narrow(max(z, slope * z), line)
            else:
                for c in range(width):
                    z = (widen(line[c]) - m[c]) * a[c] + s[c]
                    line[c] = narrow(max(z, slope * z), line)


def lines_of(x: Tensor, width: int) -> np.ndarray:
    """(B, C, *spatial) to (batch, lines, width); no copy where x is channels-last in memory; bfloat16 as uint16."""
    rows = to_rows(x.detach()).reshape(x.shape[0], -1, width)
    return rows.view(torch.int16).numpy().view(np.uint16) if x.dtype == torch.bfloat16 else rows.numpy()


def width_of(x: Tensor) -> int:
    """Numbers in a line: as many rows of channels as fit into LINE and divide the voxels."""
    joined = 1
    while 2 * joined * x.shape[1] <= LINE and x[0, 0].numel() % (2 * joined) == 0:
        joined *= 2
    return joined * x.shape[1]


def tile(vector: np.ndarray, width: int, dtype: np.dtype) -> np.ndarray:
    """(batch, C) to (batch, width) in the dtype to compute in."""
    return np.tile(vector, width // vector.shape[-1]).astype(dtype)


def _statistics(x: np.ndarray, channels: int, eps: float, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Mean and reciprocal standard deviation, (batch, C) float64, of lines (batch, lines, W)."""
    batch, lines, width = x.shape
    mean, squares = np.empty((2, batch, CHUNKS, width))
    _moments(x, np.zeros(0, dtype), mean, squares)
    edges = np.arange(CHUNKS + 1) * lines // CHUNKS
    counts = np.diff(edges)[:, None, None]
    mean, squares = (parts.reshape(batch, CHUNKS, -1, channels) for parts in (mean, squares))
    size = lines * (width // channels)
    centre = (counts * mean).sum((1, 2)) / size
    squares = squares.sum((1, 2)) + (counts * np.square(mean - centre[:, None, None])).sum((1, 2))
    return centre, 1 / np.sqrt(squares / size + eps)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, slope: float, y: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Write the result to y, which may be x, and return the statistics."""
    width, dtype = width_of(x), weight.detach().numpy().dtype
    lines, out = lines_of(x, width), lines_of(y, width)
    with threads():
        mean, rstd = _statistics(lines, x.shape[1], eps, dtype)
        vectors = mean, weight.detach().numpy() * rstd, np.broadcast_to(bias.detach().numpy(), mean.shape)
        vectors = [tile(vector, width, dtype) for vector in vectors]
        other = out if residual is None else lines_of(residual, width)
        _normalise(lines, *vectors, other, residual is not None, dtype.type(slope), y is x, out)
    return mean, rstd


def empty(x: Tensor) -> Tensor:
    """A new tensor like x, channels-last in memory."""
    return x.new_empty(x.shape[0], *x.shape[2:], x.shape[1]).movedim(-1, 1)
