"""Instance norm on a CPU, compiled by numba: one pass for the moments, one that normalises, adds and activates.

The kernels read rows of channels (channels-last memory). Rows are joined to lines of up to ``LINE`` numbers, so that
narrow maps fill SIMD registers as well as wide ones. The work is cut into the same chunks whatever the number of
threads, so that results do not depend on it. bfloat16 is read and written as such and computed in float32.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from numba import types
from numba.extending import overload
from torch import Tensor

from ...custom_op import custom_op
from ...layout import channels_last, to_rows
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
def _span(chunk, lines):  # noqa: ANN001, ANN202
    return chunk * lines // CHUNKS, (chunk + 1) * lines // CHUNKS


@jit(parallel=True)
def _moments(x, zero, mean, squares):  # noqa: ANN001, ANN202
    """Mean and sum of squared deviations of each chunk: x (batch, lines, W); mean, squares (batch, CHUNKS, W) float64.

    ``zero`` is an array of the dtype to compute in.
    """
    batch, lines, width = x.shape
    for job in numba.prange(batch * CHUNKS):
        b, chunk = job // CHUNKS, job % CHUNKS
        first, last = _span(chunk, lines)
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
        first, last = _span(chunk, lines)
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


@jit()
def _before_activation(dy, y, slope, dz):  # noqa: ANN001, ANN202
    """Write the gradient before the activation of one line to dz."""
    one, zero = dz.dtype.type(1), dz.dtype.type(0)
    for c in range(len(dz)):
        dz[c] = widen(dy[c]) * (one if widen(y[c]) > zero else slope)


@jit(parallel=True)
def _gradient_sums(x, y, dy, mean, slope, has_residual, dresidual, sums, products):  # noqa: ANN001, ANN202
    """Sums over each chunk of dz, the gradient before the activation, and of dz · (x − mean); dz goes to dresidual."""
    batch, lines, width = x.shape
    for job in numba.prange(batch * CHUNKS):
        b, chunk = job // CHUNKS, job % CHUNKS
        first, last = _span(chunk, lines)
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
                _before_activation(dy[b, r], y[b, r], slope, dz)
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
        first, last = _span(chunk, lines)
        a_b, k_b, s_b = a[b], k[b], s[b]
        dz = np.empty(width, a.dtype)
        for r in range(first, last):
            _before_activation(dy[b, r], y[b, r], slope, dz)
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
) -> Tensor:
    """See :func:`components.kernels.instance_norm`; the result is channels-last in memory."""
    if x.dtype == torch.float16:  # numba has none
        residual = None if residual is None else residual.float()
        return instance_norm(x.float(), weight, bias, residual, eps, negative_slope, True).to(x.dtype)
    tensors = x, weight, bias, *([] if residual is None else [residual])
    recorded = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    if recorded or not inplace:
        return torch.ops.scanseg.instance_norm_numba(x, weight, bias, residual, eps, negative_slope)[0]
    x = channels_last(x)
    torch.ops.scanseg.instance_norm_numba_(x, weight, bias, residual, eps, negative_slope)
    return x


def _lines(x: Tensor, width: int) -> np.ndarray:
    rows = to_rows(x.detach()).reshape(x.shape[0], -1, width)
    return rows.view(torch.int16).numpy().view(np.uint16) if x.dtype == torch.bfloat16 else rows.numpy()


def _width(x: Tensor) -> int:
    """Numbers in a line: as many rows of channels as fit into LINE and divide the voxels."""
    joined = 1
    while 2 * joined * x.shape[1] <= LINE and x[0, 0].numel() % (2 * joined) == 0:
        joined *= 2
    return joined * x.shape[1]


def _tile(vector: np.ndarray, width: int, dtype: np.dtype) -> np.ndarray:
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


def _forward(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, slope: float, y: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Write the result to y, which may be x, and return the statistics."""
    width, dtype = _width(x), weight.detach().numpy().dtype
    lines, out = _lines(x, width), _lines(y, width)
    with threads():
        mean, rstd = _statistics(lines, x.shape[1], eps, dtype)
        vectors = mean, weight.detach().numpy() * rstd, np.broadcast_to(bias.detach().numpy(), mean.shape)
        vectors = [_tile(vector, width, dtype) for vector in vectors]
        other = out if residual is None else _lines(residual, width)
        _normalise(lines, *vectors, other, residual is not None, dtype.type(slope), y is x, out)
    return mean, rstd


def _empty(x: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], *x.shape[2:], x.shape[1]).movedim(-1, 1)


@custom_op("instance_norm_numba_", mutates_args=["x"])
def _norm_inplace(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, negative_slope: float
) -> None:
    _forward(x, weight, bias, residual, eps, negative_slope, x)
    torch.autograd.graph.increment_version(x)


@custom_op("instance_norm_numba")
def _norm(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, negative_slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    y = _empty(x)
    mean, rstd = _forward(x, weight, bias, residual, eps, negative_slope, y)
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
    width, dtype = _width(x), weight.detach().numpy().dtype
    slope, size = dtype.type(negative_slope), x[0, 0].numel()
    dx, dresidual = _empty(x), _empty(x) if has_residual else x.new_empty(0)
    lines = [_lines(tensor, width) for tensor in (x, y, dy)]
    other = _lines(dresidual, width) if has_residual else lines[0]
    sums, products = np.empty((2, x.shape[0], CHUNKS, width))
    centre = _tile(mean.numpy(), width, dtype)
    with threads():
        _gradient_sums(*lines, centre, slope, has_residual, other, sums, products)
        sums, products = (s.reshape(x.shape[0], -1, x.shape[1]).sum(1) for s in (sums, products))
        gain = weight.detach().numpy() * rstd.numpy()
        factor = -gain * np.square(rstd.numpy()) * products / size
        factors = gain, factor, -gain * sums / size - factor * mean.numpy()
        _gradient(*lines, slope, *(_tile(vector, width, dtype) for vector in factors), _lines(dx, width))
    dweight, dbias = (rstd.numpy() * products).sum(0), sums.sum(0)
    return dx, *(torch.from_numpy(vector).to(weight.dtype) for vector in (dweight, dbias)), dresidual


@_norm.register_fake
def _(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    statistics = x.new_empty(x.shape[:2], dtype=torch.float64)
    return _empty(x), statistics, torch.empty_like(statistics)


@_norm_backward.register_fake
def _(x: Tensor, weight: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    has_residual = others[-1]
    vectors = torch.empty_like(weight), torch.empty_like(weight)
    return _empty(x), *vectors, _empty(x) if has_residual else x.new_empty(0)


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
