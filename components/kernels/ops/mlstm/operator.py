"""The mLSTM cell: its public function, which checks the shapes and hands over to a back end."""

from __future__ import annotations

import torch
from torch import Tensor

from ...precision import cast, compute_dtype, no_autocast
from ...registry import dispatch


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
        got = f"{tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}"
        raise ValueError(f"mlstm needs q, k, v of one shape (B, heads, S, d), got {got}")
    if i.shape != q.shape[:3] or f.shape != q.shape[:3]:
        raise ValueError(
            f"mlstm needs i and f of shape {tuple(q.shape[:3])}, got {tuple(i.shape)} and {tuple(f.shape)}"
        )
    compute = compute_dtype(q)
    function = dispatch("mlstm", backend, q.device.type, compute == torch.float64)
    with no_autocast(q):
        return function(*cast(compute, q, k, v, i, f)).to(q.dtype)
