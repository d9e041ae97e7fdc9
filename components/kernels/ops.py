"""The public operators: they check shapes, hold the precision rules and hand over to a back end."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor

from components.kernels.convolution import convolution_dtype
from components.kernels.registry import dispatch


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Selective state space scan of Mamba (Gu and Dao, 2023, arXiv 2312.00752, algorithm 2).

    With Δ_t = delta_t + delta_bias (through softplus if asked for) each row of u runs the recurrence
    h_t = exp(Δ_t A) h_{t−1} + Δ_t B_t u_t, h_0 = 0, and gives y_t = ⟨C_t, h_t⟩ + D u_t.

    Args:
        u: input, (batch, G·d, L).
        delta: step sizes before bias and softplus, (batch, G·d, L).
        A: decay rates, negative, (G·d, N).
        B: input weights, (batch, G, N, L); group g serves the rows g·d … (g+1)·d − 1.
        C: output weights, (batch, G, N, L).
        D: weights of the direct path, (G·d), or None for none.
        delta_bias: added to delta, (G·d), or None.
        delta_softplus: whether Δ goes through softplus.
        backend: "auto" or a name from ``backends("selective_scan")``.

    Returns:
        y, (batch, G·d, L), in the dtype of ``u``. States are float32 (float64 for float64 input) also under autocast.

    Raises:
        ValueError: if shapes do not fit together.
        BackendUnavailableError: if the back end asked for cannot run here.

    Example:
        >>> u = torch.ones(1, 2, 3)
        >>> selective_scan(u, u, -torch.ones(2, 1), torch.ones(1, 1, 1, 3), torch.ones(1, 1, 1, 3)).shape
        torch.Size([1, 2, 3])
    """
    if u.ndim != 3 or delta.shape != u.shape:
        raise ValueError(f"selective_scan needs u and delta of one shape (batch, rows, L), got {_s(u)} and {_s(delta)}")
    batch, rows, length = u.shape
    if A.ndim != 2 or A.shape[0] != rows:
        raise ValueError(f"selective_scan needs A of shape ({rows}, N) for {rows} rows, got {_s(A)}")
    if B.ndim != 4 or C.shape != B.shape or B.shape[0] != batch or B.shape[2:] != (A.shape[1], length):
        needed = f"({batch}, G, {A.shape[1]}, {length})"
        raise ValueError(f"selective_scan needs B and C of shape {needed}, got {_s(B)} and {_s(C)}")
    if rows % B.shape[1]:
        raise ValueError(f"selective_scan: {rows} rows cannot be shared by {B.shape[1]} groups of B and C")
    for name, vector in (("D", D), ("delta_bias", delta_bias)):
        if vector is not None and vector.shape != (rows,):
            raise ValueError(f"selective_scan needs {name} of shape ({rows},), got {_s(vector)}")
    compute = _compute_dtype(u)
    function = dispatch("selective_scan", backend, u.device.type, compute == torch.float64)
    with _no_autocast(u):
        u_, delta_, A_, B_, C_, D_, bias_ = _cast(compute, u, delta, A, B, C, D, delta_bias)
        return function(u_, delta_, A_, B_, C_, D_, bias_, delta_softplus).to(u.dtype)


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
        raise ValueError(f"cross_selective_scan needs an image (B, C, H, W), got {_s(x)}")
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
            raise ValueError(f"cross_selective_scan of {channels} channels needs {name} {shape}, got {_s(tensor)}")
    compute = _compute_dtype(x)
    function = dispatch("cross_selective_scan", backend, x.device.type, compute == torch.float64)
    with _no_autocast(x):
        tensors = _cast(compute, x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds)
        return function(*tensors).to(x.dtype)


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, backend: str = "auto") -> Tensor:
    """The mLSTM cell with exponential input gate and matrix memory (Beck et al., 2024, arXiv 2405.04517, eqs. 19–27).

    F_t = Σ_{j≤t} log σ(f_j); log D_{tj} = F_t − F_j + i_j for j ≤ t; m_t = max_j log D_{tj};
    S_{tj} = (q_t·k_j / √d) exp(log D_{tj} − m_t); h_t = Σ_j S_{tj} v_j / (max(|Σ_j S_{tj}|, exp(−m_t)) + 1e-6).

    Args:
        q: queries, (B, heads, S, d).
        k: keys, (B, heads, S, d).
        v: values, (B, heads, S, d).
        i: input gate pre-activations, (B, heads, S).
        f: forget gate pre-activations, (B, heads, S).
        backend: "auto" or a name from ``backends("mlstm")``.

    Returns:
        h, (B, heads, S, d), in the dtype of ``q``. Gates and states are float32 (float64 for float64 input) also under
        autocast.

    Raises:
        ValueError: if shapes do not fit together.
        BackendUnavailableError: if the back end asked for cannot run here.
    """
    if q.ndim != 4 or k.shape != q.shape or v.shape != q.shape:
        raise ValueError(f"mlstm needs q, k, v of one shape (B, heads, S, d), got {_s(q)}, {_s(k)} and {_s(v)}")
    if i.shape != q.shape[:3] or f.shape != q.shape[:3]:
        raise ValueError(f"mlstm needs i and f of shape {tuple(q.shape[:3])}, got {_s(i)} and {_s(f)}")
    compute = _compute_dtype(q)
    function = dispatch("mlstm", backend, q.device.type, compute == torch.float64)
    with _no_autocast(q):
        return function(*_cast(compute, q, k, v, i, f)).to(q.dtype)


def instance_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None = None,
    eps: float = 1e-5,
    negative_slope: float = 1.0,
    inplace: bool = False,
    backend: str = "auto",
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
        inplace: whether x may be overwritten where no gradient is recorded; saves memory.
        backend: "auto" or a name from ``backends("instance_norm")``.

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
        raise ValueError(f"instance_norm needs a feature map (B, C, H, W) or (B, C, D, H, W), got {_s(x)}")
    if weight.shape != x.shape[1:2] or bias.shape != x.shape[1:2]:
        raise ValueError(f"instance_norm needs weight and bias ({x.shape[1]},), got {_s(weight)} and {_s(bias)}")
    if residual is not None and residual.shape != x.shape:
        raise ValueError(f"instance_norm needs a residual of the shape of x, {_s(x)}, got {_s(residual)}")
    if not 0 <= negative_slope <= 1:
        raise ValueError(f"instance_norm needs a negative_slope from 0 to 1, got {negative_slope}")
    if x.shape[2:].numel() == 1:
        raise ValueError(f"instance_norm needs more than one voxel a channel, got {_s(x)}")
    compute = _compute_dtype(x)
    function = dispatch("instance_norm", backend, x.device.type, compute == torch.float64)
    with _no_autocast(x):
        residual = None if residual is None else residual.to(x.dtype)
        return function(x, *_cast(compute, weight, bias), residual, eps, negative_slope, inplace)


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
        raise ValueError(f"depthwise_conv needs an image (B, C, H, W), got {_s(x)}")
    size = weight.shape[-1]
    if tuple(weight.shape) != (x.shape[1], 1, size, size) or size % 2 == 0:
        raise ValueError(f"depthwise_conv needs weight ({x.shape[1]}, 1, size, size) of odd size, got {_s(weight)}")
    dtype = convolution_dtype(x)
    function = dispatch("depthwise_conv", backend, x.device.type, dtype == torch.float64)
    with _no_autocast(x):
        return function(x.to(dtype), weight.to(dtype))


def _compute_dtype(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def _cast(dtype: torch.dtype, *tensors: Tensor | None) -> list[Tensor | None]:
    return [None if tensor is None else tensor.to(dtype) for tensor in tensors]


def _no_autocast(tensor: Tensor) -> contextlib.AbstractContextManager:
    device_type = tensor.device.type
    available = torch.amp.is_autocast_available(device_type)  # not on "meta"
    return torch.autocast(device_type, enabled=False) if available else contextlib.nullcontext()


def _s(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
