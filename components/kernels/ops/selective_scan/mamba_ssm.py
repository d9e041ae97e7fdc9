"""The selective scan of the mamba-ssm package: CUDA kernels, forward and backward, by the authors of Mamba."""

from __future__ import annotations

from torch import Tensor


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
    """See :func:`components.kernels.selective_scan`; arguments are already float32."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u, delta, A, B, C = (tensor.contiguous() for tensor in (u, delta, A, B, C))
    D, delta_bias = (None if vector is None else vector.contiguous() for vector in (D, delta_bias))
    return selective_scan_fn(u, delta, A, B, C, D=D, delta_bias=delta_bias, delta_softplus=delta_softplus)
