"""The selective scan of Mamba: its public function, which checks the shapes and hands over to a back end."""

from __future__ import annotations

import torch
from torch import Tensor

from ...precision import cast, compute_dtype, no_autocast
from ...registry import dispatch


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
        got = f"{tuple(u.shape)} and {tuple(delta.shape)}"
        raise ValueError(f"selective_scan needs u and delta of one shape (batch, rows, L), got {got}")
    batch, rows, length = u.shape
    if A.ndim != 2 or A.shape[0] != rows:
        raise ValueError(f"selective_scan needs A of shape ({rows}, N) for {rows} rows, got {tuple(A.shape)}")
    if B.ndim != 4 or C.shape != B.shape or B.shape[0] != batch or B.shape[2:] != (A.shape[1], length):
        needed = f"({batch}, G, {A.shape[1]}, {length})"
        raise ValueError(f"selective_scan needs B and C of shape {needed}, got {tuple(B.shape)} and {tuple(C.shape)}")
    if rows % B.shape[1]:
        raise ValueError(f"selective_scan: {rows} rows cannot be shared by {B.shape[1]} groups of B and C")
    for name, vector in (("D", D), ("delta_bias", delta_bias)):
        if vector is not None and vector.shape != (rows,):
            raise ValueError(f"selective_scan needs {name} of shape ({rows},), got {tuple(vector.shape)}")
    compute = compute_dtype(u)
    function = dispatch("selective_scan", backend, u.device.type, compute == torch.float64)
    with no_autocast(u):
        u_, delta_, A_, B_, C_, D_, bias_ = cast(compute, u, delta, A, B, C, D, delta_bias)
        return function(u_, delta_, A_, B_, C_, D_, bias_, delta_softplus).to(u.dtype)
