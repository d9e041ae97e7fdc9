"""Instance norm in training on a CPU that keeps one map for the backward pass: its own result.

The result overwrites the input. The normalised input, which the gradients need, is computed again from it, as the leaky
ReLU and the affine map can be undone (Rota Bulò et al., 2018, arXiv 1712.02616). The convolution that follows keeps the
result anyway, so the norm costs no memory at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...layout import is_by_rows
from .gradients import Normalised, gradients
from .rows import forward

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
    if torch.compiler.is_compiling() or x.is_leaf or x._is_view() or not is_by_rows(x) or negative_slope < 1e-3:
        return False
    if x.dtype == torch.bfloat16:
        return residual is None and bool(weight.detach().abs().min() >= LEAST_WEIGHT_BFLOAT16)
    return bool(weight.detach().abs().min() >= LEAST_WEIGHT)


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
        gain = 1 / weight.detach().numpy().astype(np.float64)
        n = Normalised(y, bias.detach().numpy(), gain, 1 / ctx.negative_slope, residual)
        dx, dweight, dbias, dresidual = gradients(n, y, dy, weight, rstd, ctx.negative_slope, residual is not None)
        return dx, dweight, dbias, dresidual, None, None, None, *([] if ctx.again is None else [None] * len(others))
