"""Instance norm with what follows it: its public function, which checks the shapes and hands over to a back end."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...precision import cast, compute_dtype, no_autocast
from ...registry import dispatch

Again = tuple[Callable[..., Tensor], tuple[Tensor, ...]]
"""A function and its arguments."""


def instance_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None = None,
    eps: float = 1e-5,
    negative_slope: float = 1.0,
    inplace: bool = False,
    backend: str = "auto",
    again: Again | None = None,
) -> Tensor:
    """Instance norm, residual connection and leaky ReLU in one (Ulyanov et al., 2016, arXiv 1607.08022).

    With z = weight · (x − mean) / √(variance + eps) + bias + residual, mean and variance (divided by the number of
    voxels) over the voxels of each sample and channel, the result is z where z > 0, else negative_slope · z.

    Args:
        x: feature map, (B, C, *spatial); 2D or 3D. Channels-last memory saves a copy in the numba back end.
        weight: (C).
        bias: (C).
        residual: added before the activation, like x, or None.
        eps: added to the variance.
        negative_slope: from 0 (ReLU) to 1 (no activation).
        inplace: whether x may be overwritten; saves memory. Where a gradient is recorded, it is only if the result can
            be undone, and if neither x is a leaf or a view nor its layout another than channels-last.
        backend: "auto" or a name from ``backends("instance_norm")``.
        again: how to compute the residual once more, so that it need not be kept for the backward pass where x is
            overwritten: a function without side effects, and its arguments, which something else keeps anyway.

    Returns:
        (B, C, *spatial) in the dtype of ``x``. Moments are float32 (float64 for float64 input) also for bfloat16.

    Raises:
        ValueError: if shapes do not fit together, there is one voxel only, or the slope is out of its range.
        BackendUnavailableError: if the back end asked for cannot run here.

    Example:
        >>> instance_norm(torch.tensor([[[[1.0, 3.0]]]]), torch.ones(1), torch.zeros(1), negative_slope=0.5)
        tensor([[[[-0.5000,  1.0000]]]])
    """
    if x.ndim not in (4, 5):
        raise ValueError(f"instance_norm needs a feature map (B, C, H, W) or (B, C, D, H, W), got {tuple(x.shape)}")
    if weight.shape != x.shape[1:2] or bias.shape != x.shape[1:2]:
        got = f"{tuple(weight.shape)} and {tuple(bias.shape)}"
        raise ValueError(f"instance_norm needs weight and bias ({x.shape[1]},), got {got}")
    if residual is not None and residual.shape != x.shape:
        got = tuple(residual.shape)
        raise ValueError(f"instance_norm needs a residual of the shape of x, {tuple(x.shape)}, got {got}")
    if not 0 <= negative_slope <= 1:
        raise ValueError(f"instance_norm needs a negative_slope from 0 to 1, got {negative_slope}")
    if x.shape[2:].numel() == 1:
        raise ValueError(f"instance_norm needs more than one voxel a channel, got {tuple(x.shape)}")
    compute = compute_dtype(x)
    function = dispatch("instance_norm", backend, x.device.type, compute == torch.float64)
    with no_autocast(x):
        residual = None if residual is None else residual.to(x.dtype)
        return function(x, *cast(compute, weight, bias), residual, eps, negative_slope, inplace, again)
