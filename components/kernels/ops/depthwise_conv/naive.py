"""The definition: one shifted copy of the image for each number of the kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def depthwise_conv(x: Tensor, weight: Tensor) -> Tensor:
    """See :func:`components.kernels.depthwise_conv`."""
    size = weight.shape[-1]
    height, width = x.shape[2:]
    padded = F.pad(x, [size // 2] * 4)
    y = torch.zeros_like(x)
    for i in range(size):
        for j in range(size):
            y = y + weight[:, :, i, j, None] * padded[:, :, i : i + height, j : j + width]
    return y
