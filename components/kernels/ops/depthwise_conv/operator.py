"""Depthwise convolution: its public function, which checks the shapes and hands over to a back end."""

from __future__ import annotations

import torch
from torch import Tensor

from ...precision import convolution_dtype, no_autocast
from ...registry import dispatch


def depthwise_conv(x: Tensor, weight: Tensor, backend: str = "auto") -> Tensor:
    """Depthwise convolution of stride 1 by a square kernel of odd size, zeros around the image.

    y[b, c, h, w] = Σ_ij weight[c, 0, i, j] · x[b, c, h + i − size // 2, w + j − size // 2].

    Args:
        x: image, (B, C, H, W); channels-last memory saves copies in the numba back end.
        weight: (C, 1, size, size), size odd.
        backend: "auto" or a name from ``backends("depthwise_conv")``.

    Returns:
        (B, C, H, W), in the dtype of ``x``, or of autocast where it is on, as ``torch.nn.functional.conv2d``.

    Raises:
        ValueError: if shapes do not fit together.
        BackendUnavailableError: if the back end asked for cannot run here.

    Example:
        >>> depthwise_conv(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 3, 3))
        tensor([[[[4., 4.],
                  [4., 4.]]]])
    """
    if x.ndim != 4:
        raise ValueError(f"depthwise_conv needs an image (B, C, H, W), got {tuple(x.shape)}")
    size = weight.shape[-1]
    if tuple(weight.shape) != (x.shape[1], 1, size, size) or size % 2 == 0:
        needed = f"({x.shape[1]}, 1, size, size)"
        raise ValueError(f"depthwise_conv needs weight {needed} of odd size, got {tuple(weight.shape)}")
    dtype = convolution_dtype(x)
    function = dispatch("depthwise_conv", backend, x.device.type, dtype == torch.float64)
    with no_autocast(x):
        return function(x.to(dtype), weight.to(dtype))
