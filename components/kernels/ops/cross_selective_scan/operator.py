"""The four-path scan of VMamba: its public function, which checks the shapes and hands over to a back end."""

from __future__ import annotations

import torch
from torch import Tensor

from ...precision import cast, compute_dtype, no_autocast
from ...registry import dispatch


def cross_selective_scan(
    x: Tensor,
    x_proj_weight: Tensor,
    dt_projs_weight: Tensor,
    dt_projs_bias: Tensor,
    A_logs: Tensor,
    Ds: Tensor,
    backend: str = "auto",
) -> Tensor:
    """Selective scan of an image along four paths, summed (VMamba's SS2D: Liu et al., 2024, arXiv 2401.10166).

    The paths: 0 row by row, 1 column by column, 2 path 0 backwards, 3 path 1 backwards. Along path k a linear map gives
    R + 2N numbers for each pixel: dt (R), B (N), C (N); Δ = softplus(dt_projs_weight[k] dt + dt_projs_bias[k]),
    A = −exp(A_logs), D = Ds.

    Args:
        x: image, (B, C, H, W); channels-last memory saves a copy in the numba back end.
        x_proj_weight: (4, R + 2N, C).
        dt_projs_weight: (4, C, R).
        dt_projs_bias: (4, C).
        A_logs: (4·C, N).
        Ds: (4·C).
        backend: "auto" or a name from ``backends("cross_selective_scan")``.

    Returns:
        The sum over the paths, (B, C, H, W), before the norm, in the dtype of ``x``. Computed in float32 (float64 for
        float64 input) also under autocast.

    Raises:
        ValueError: if shapes do not fit together.
        BackendUnavailableError: if the back end asked for cannot run here.
    """
    if x.ndim != 4:
        raise ValueError(f"cross_selective_scan needs an image (B, C, H, W), got {tuple(x.shape)}")
    channels, rank, states = x.shape[1], dt_projs_weight.shape[-1], A_logs.shape[-1]
    needed = {
        "x_proj_weight": (x_proj_weight, (4, rank + 2 * states, channels)),
        "dt_projs_weight": (dt_projs_weight, (4, channels, rank)),
        "dt_projs_bias": (dt_projs_bias, (4, channels)),
        "A_logs": (A_logs, (4 * channels, states)),
        "Ds": (Ds, (4 * channels,)),
    }
    for name, (tensor, shape) in needed.items():
        if tuple(tensor.shape) != shape:
            got = tuple(tensor.shape)
            raise ValueError(f"cross_selective_scan of {channels} channels needs {name} {shape}, got {got}")
    compute = compute_dtype(x)
    function = dispatch("cross_selective_scan", backend, x.device.type, compute == torch.float64)
    with no_autocast(x):
        tensors = cast(compute, x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds)
        return function(*tensors).to(x.dtype)
