"""PyTorch's own convolution: portable and traceable."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def depthwise_conv(x: Tensor, weight: Tensor) -> Tensor:
    """See :func:`components.kernels.depthwise_conv`."""
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=x.shape[1])
