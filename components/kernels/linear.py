"""Linear maps in float32, by whichever library multiplies matrices faster on this processor.

PyTorch multiplies them by MKL, which keeps its AVX-512 code for Intel's processors. oneDNN, by which PyTorch convolves,
gives it to all: on an EPYC of the fifth generation it takes 0.45 of the time.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .registry import recording

SMALL = 2**20
"""Multiplications below which the call counts: MKL's is shorter."""
NARROW = 64
"""Features below which the gradient of a weight is left to MKL: oneDNN needs a copy of both maps for it."""


class Linear(nn.Linear):
    """``torch.nn.Linear`` by :func:`linear`; arguments and weights are the same.

    Example:
        >>> Linear(8, 3)(torch.zeros(2, 8)).shape
        torch.Size([2, 3])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.linear``, with derivatives of every order.

    Args:
        x: (…, in).
        weight: (out, in).
        bias: (out), or None.

    Returns:
        (…, out).

    Example:
        >>> linear(torch.ones(2, 3), torch.ones(4, 3)).shape
        torch.Size([2, 4])
    """
    if not _by_onednn(x, weight):
        return F.linear(x, weight, bias)
    rows = x.flatten(0, -2)
    learns = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias))
    y = _Linear.apply(rows, weight, bias) if learns else _multiply(rows, weight, bias)
    return y if x.ndim == 2 else y.unflatten(0, x.shape[:-1])


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if not weight.is_contiguous() and not weight.T.is_contiguous():
        weight = weight.contiguous()  # for a part of a matrix oneDNN has a reference implementation only
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _multiply(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        dx = linear(dy, weight.T) if needs_x else None
        dweight = weight_gradient(x, dy) if needs_weight else None
        return dx, dweight, dy.sum(0) if needs_bias else None


def weight_gradient(x: Tensor, dy: Tensor) -> Tensor:
    """Gradient of the weight of :func:`linear`.

    Args:
        x: (…, in).
        dy: gradient of the result, (…, out).

    Returns:
        (out, in).
    """
    x, dy = x.flatten(0, -2), dy.flatten(0, -2)
    if min(x.shape[1], dy.shape[1]) < NARROW or not _by_onednn(x, dy.T):
        return dy.T @ x
    transposes = dy.numel() > x.numel() + 2 * x.shape[1] * dy.shape[1]  # the first of both is copied
    return linear(x.T, dy.T).T.contiguous() if transposes else linear(dy.T, x.T)


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and not recording()
        and onednn_is_faster()
        and not torch.is_autocast_enabled("cpu")
        and type(x) is Tensor  # and not one that stands for another
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.ndim > 1
        and x.numel() * weight.shape[0] >= SMALL
    )


@functools.cache
def onednn_is_faster() -> bool:
    """Whether this PyTorch multiplies matrices by MKL, on a processor with AVX-512 that is not Intel's."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # not in PyTorch 2.6
    return (
        torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and capabilities.get("avx512_f", False)
        and "Intel" not in capabilities.get("cpu_name", "Intel")
    )
