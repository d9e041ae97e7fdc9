"""The precision that operators compute in, whatever autocast says."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """float64 for float64, else float32: what states, sums and moments are kept in."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def cast(dtype: torch.dtype, *tensors: Tensor | None) -> list[Tensor | None]:
    """The tensors in a dtype; None stays None."""
    return [None if tensor is None else tensor.to(dtype) for tensor in tensors]


def convolution_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which PyTorch computes a convolution of ``x``, under autocast or not."""
    kind = x.device.type
    if x.dtype == torch.float64 or not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return x.dtype
    return torch.get_autocast_dtype(kind)


def no_autocast(tensor: Tensor) -> contextlib.AbstractContextManager:
    """A context without autocast on the device of ``tensor``."""
    device_type = tensor.device.type
    available = torch.amp.is_autocast_available(device_type)  # not on "meta"
    return torch.autocast(device_type, enabled=False) if available else contextlib.nullcontext()
