"""The mLSTM cell by the mlstm_kernels package (Beck et al., 2025, arXiv 2503.14376; NXAI Community licence).

On the CPU its native chunkwise form, differentiated by PyTorch; on CUDA its Triton kernels, not run here. The
package's own backward pass, measured in its native form, holds the normaliser of h constant: right where a norm that
ignores the scale of h follows, as in the ViL block, and only there. Its Triton form is taken to do the same.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .naive import EPSILON

# Device type: (kernel, its chunk size).
_KERNELS = {"cpu": ("chunkwise--native_autograd", 64), "cuda": ("chunkwise--triton_xl_chunk", 128)}
_EMPTY = -1e4  # log scale of the state before the first step: far below any weight


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> Tensor:
    """The mLSTM cell of :func:`components.kernels.mlstm`.

    Args:
        q: queries, (B, heads, S, d).
        k: keys, (B, heads, S, d).
        v: values, (B, heads, S, d).
        i: input gate pre-activations, (B, heads, S).
        f: forget gate pre-activations, (B, heads, S).

    Returns:
        h, (B, heads, S, d).
    """
    from mlstm_kernels.torch import get_mlstm_kernel

    batch, heads, length, width = q.shape
    kernel, chunk = _KERNELS[q.device.type]
    missing = -length % chunk
    # Triton's blocks need a width that is a power of two; the kernels scale scores by the width they see.
    wide = max(16, 1 << (width - 1).bit_length()) if q.is_cuda else width
    q, k, v = (F.pad(x, (0, wide - width, 0, missing)) for x in (q * (wide / width) ** 0.5, k, v))
    i, f = (F.pad(x, (0, missing)) for x in (i, f))
    start = {
        "c_initial": q.new_zeros(batch, heads, wide, wide),
        "n_initial": q.new_zeros(batch, heads, wide),
        "m_initial": q.new_full((batch, heads, 1), _EMPTY),
    }
    h = get_mlstm_kernel(kernel)(q, k, v, i, f, **start, chunk_size=chunk, eps=EPSILON)
    return h[:, :, :length, :width]
