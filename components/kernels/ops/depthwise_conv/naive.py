"""The definition: one shifted copy of the image for each number of the kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def depthwise_conv(x: Tensor, weight: Tensor) -> Tensor:
    """See :func:`components.kernels.depthwise_conv`; half-precision numbers are summed in float32."""
    size = weight.shape[-1]
    height, width = x.shape[2:]
    dtype = torch.promote_types(x.dtype, torch.float32)
    padded, weight = F.pad(x.to(dtype), [size // 2] * 4), weight.to(dtype)
    y = torch.zeros_like(x, dtype=dtype)
    for i in range(size):
        for j in range(size):
            y = y + weight[:, :, i, j, None] * padded[:, :, i : i + height, j : j + width]
    return y.to(x.dtype)
