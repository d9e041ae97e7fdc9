"""Depthwise convolution on a CPU: PyTorch's own, with a gradient of the kernel compiled by numba.

For kernels larger than 3 × 3 the gradient of the kernel takes PyTorch over ten times as long as the convolution. Here
channels are across SIMD lanes and images × channel blocks across threads; results do not depend on their number.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from ...custom_op import custom_op
from ...layout import to_rows
from ...numba_jit import jit, threads
from .torch import depthwise_conv as convolve

LANES = 128  # channels that a thread takes at a time
GROUP = 4  # pixels whose products are added before they go to the sum


# Rows are copied one pixel at a time: numba first copies a slice of more dimensions, as the two might overlap.


@jit(parallel=True)
def _kernel_gradient(x, dy, size, sums):  # noqa: ANN001, ANN202
    """Write the gradient of each image to sums: x, dy (batch, H, W, C); sums (batch, size², C)."""
    batch, height, width, channels = x.shape
    half, taps = size // 2, size * size
    blocks, groups = -(-channels // LANES), -(-width // GROUP)
    for job in numba.prange(batch * blocks):
        b, first = job // blocks, job % blocks * LANES
        last = min(first + LANES, channels)
        lanes = last - first
        total = np.zeros((taps, lanes), x.dtype)
        part = np.zeros((taps, lanes), x.dtype)  # of one row: float32 is exact enough for a sum of so few
        x_row = np.zeros((groups * GROUP + 2 * half, lanes), x.dtype)  # zeros stay at the ends
        dy_row = np.zeros((groups * GROUP, lanes), x.dtype)
        for h in range(height):
            for w in range(width):
                dy_row[w, :] = dy[b, h, w, first:last]
            for i in range(max(0, half - h), min(size, height + half - h)):
                for w in range(width):
                    x_row[half + w, :] = x[b, h + i - half, w, first:last]
                for w in range(0, groups * GROUP, GROUP):
                    d0, d1, d2, d3 = dy_row[w], dy_row[w + 1], dy_row[w + 2], dy_row[w + 3]
                    for j in range(size):
                        x0, x1, x2, x3 = x_row[w + j], x_row[w + j + 1], x_row[w + j + 2], x_row[w + j + 3]
                        tap = part[i * size + j]
                        for c in range(lanes):
                            tap[c] += (d0[c] * x0[c] + d1[c] * x1[c]) + (d2[c] * x2[c] + d3[c] * x3[c])
            for t in range(taps):
                for c in range(lanes):
                    total[t, c] += part[t, c]
                    part[t, c] = 0
        for t in range(taps):
            sums[b, t, first:last] = total[t]


def depthwise_conv(x: Tensor, weight: Tensor) -> Tensor:
    """See :func:`components.kernels.depthwise_conv`; PyTorch's convolution where no gradient of a kernel is needed."""
    if torch.is_grad_enabled() and weight.requires_grad:
        return torch.ops.scanseg.depthwise_conv_numba(x, weight)
    return convolve(x, weight)


@custom_op("depthwise_conv_numba")
def _depthwise(x: Tensor, weight: Tensor) -> Tensor:
    return convolve(x, weight)


@custom_op("depthwise_conv_numba_gradient")
def _gradient(x: Tensor, dy: Tensor, size: int) -> Tensor:
    dtype = torch.promote_types(x.dtype, torch.float32)  # numba has no half precision
    x, dy = (to_rows(tensor.detach().to(dtype)).unflatten(1, tensor.shape[2:]) for tensor in (x, dy))
    sums = x.new_empty(len(x), size**2, x.shape[-1])
    with threads():
        _kernel_gradient(x.numpy(), dy.numpy(), size, sums.numpy())
    return sums.sum(0).T.reshape(-1, 1, size, size)


@_depthwise.register_fake
def _(x: Tensor, weight: Tensor) -> Tensor:
    return convolve(x, weight)


@_gradient.register_fake
def _(x: Tensor, _dy: Tensor, size: int) -> Tensor:
    return x.new_empty(x.shape[1], 1, size, size, dtype=torch.promote_types(x.dtype, torch.float32))


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, weight = ctx.saved_tensors
    dx = dweight = None
    with torch.autocast("cpu", enabled=False):  # backward() may be called where autocast is on
        if ctx.needs_input_grad[0]:
            dx = convolve(dy, weight.flip(2, 3))
        if ctx.needs_input_grad[1]:
            gradient = torch.ops.scanseg.depthwise_conv_numba_gradient(x, dy, weight.shape[-1])
            dweight = gradient.to(weight.dtype)
    return dx, dweight


_depthwise.register_autograd(_differentiate, setup_context=_save)
