"""The selective scan of the mamba-ssm package: CUDA kernels, forward and backward, by the authors of Mamba."""

from __future__ import annotations

import torch
from torch import Tensor

from components.kernels.registry import BackendUnavailableError


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """See :func:`components.kernels.selective_scan`; arguments are already of one dtype, which must be float32.

    Raises:
        BackendUnavailableError: for float64, which mamba-ssm has no kernels for.
    """
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    if u.dtype != torch.float32:
        raise BackendUnavailableError(
            f"back end 'mamba_ssm' of selective_scan computes in float32, got {u.dtype}: choose backend='triton'"
        )
    u, delta, A, B, C = (tensor.contiguous() for tensor in (u, delta, A, B, C))
    D, delta_bias = (None if vector is None else vector.contiguous() for vector in (D, delta_bias))
    return selective_scan_fn(u, delta, A, B, C, D=D, delta_bias=delta_bias, delta_softplus=delta_softplus)
