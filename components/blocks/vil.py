"""Vision-LSTM blocks on feature maps, 2D and 3D (Alkin et al., 2024, arXiv 2406.04303)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..kernels import mlstm
from ..kernels.linear import Linear, linear

CONV_KERNEL = 4


class OffsetLayerNorm(nn.Module):
    """Layer norm without bias whose scale is stored as w in 1 + w.

    Args:
        features: size of the normalised axis, times ``heads``.
        heads: the last axis is normalised in so many equal parts.
    """

    def __init__(self, features: int, heads: int = 1) -> None:
        super().__init__()
        self.heads = heads
        self.weight = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """(…, features) → (…, features)."""
        parts = x.unflatten(-1, (self.heads, -1))
        return F.layer_norm(parts, parts.shape[-1:]).flatten(-2) * (1 + self.weight)


class BlockDiagonalLinear(nn.Module):
    """Linear map without bias that mixes only the features within blocks of a few neighbours.

    Args:
        features: in and out; divisible by ``block_size``.
        block_size: features in a block.
    """

    def __init__(self, features: int, block_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features // block_size, block_size, block_size))

    def forward(self, x: Tensor) -> Tensor:
        """(…, features) → (…, features)."""
        blocks = x.unflatten(-1, self.weight.shape[:2])
        return torch.einsum("...gi,goi->...go", blocks, self.weight).flatten(-2)


class ViLBlock(nn.Module):
    """One Vision-LSTM block: a gated mLSTM cell with causal convolution and residual connection.

    Blocks of the q, k, v projections and the number of heads are 4 where ``dim`` is divisible by 4, else 2; the inner
    width is 2 · dim.

    Args:
        dim: features of a token.

    Example:
        >>> ViLBlock(8)(torch.zeros(1, 5, 8)).shape
        torch.Size([1, 5, 8])
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = 2 * dim
        self.heads = 4 if dim % 4 == 0 else 2
        self.norm = OffsetLayerNorm(dim)
        self.up = Linear(dim, 2 * inner, bias=False)
        self.conv = nn.Conv1d(inner, inner, CONV_KERNEL, groups=inner)
        self.q = BlockDiagonalLinear(inner, self.heads)
        self.k = BlockDiagonalLinear(inner, self.heads)
        self.v = BlockDiagonalLinear(inner, self.heads)
        self.input_gate = Linear(3 * inner, self.heads)
        self.forget_gate = Linear(3 * inner, self.heads)
        self.cell_norm = OffsetLayerNorm(inner, self.heads)
        self.skip = nn.Parameter(torch.ones(inner))
        self.down = Linear(inner, dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as published; forget gates start nearly open, heads forget at different speeds."""
        dim = self.down.out_features
        for layer in (self.up, self.q, self.k, self.v):
            nn.init.normal_(layer.weight, std=math.sqrt(2 / (5 * dim)))
        nn.init.normal_(self.down.weight, std=2 / math.sqrt(dim))
        for gate in (self.input_gate, self.forget_gate):
            nn.init.zeros_(gate.weight)
        nn.init.normal_(self.input_gate.bias, std=0.1)
        with torch.no_grad():
            self.forget_gate.bias.copy_(torch.linspace(3, 6, self.heads))

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, dim) → (B, S, dim)."""
        inner, gate = self.up(self.norm(x)).chunk(2, -1)
        convolved = F.silu(self.conv(F.pad(inner.transpose(1, 2), (CONV_KERNEL - 1, 0))).transpose(1, 2))
        q, k, v = self.q(convolved), self.k(convolved), self.v(inner)
        i, f = (_gate(layer, (q, k, v)).transpose(1, 2) for layer in (self.input_gate, self.forget_gate))
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        hidden = self.cell_norm(mlstm(q, k, v, i, f).transpose(1, 2).flatten(-2))
        return x + self.down((hidden + self.skip * convolved) * F.silu(gate))


def _gate(layer: nn.Linear, parts: Sequence[Tensor]) -> Tensor:
    """A linear layer of several parts side by side, without the concatenation: it would be the largest of all maps."""
    weights = layer.weight.split([part.shape[-1] for part in parts], -1)
    return sum((linear(part, weight) for part, weight in zip(parts, weights, strict=True)), layer.bias)


class ViLLayer(nn.Module):
    """A :class:`ViLBlock` on a feature map (Chen et al., 2024, arXiv 2407.01530).

    Tokens are the voxels in row-major order and their features the channels, or, for ``channel_token``, tokens are the
    channels and their features the voxels. It computes in the dtype of its parameters also under autocast.

    Args:
        dim: channels, or voxels for ``channel_token``.
        channel_token: whether channels are tokens.

    Example:
        >>> ViLLayer(8)(torch.zeros(1, 8, 3, 4, 5)).shape
        torch.Size([1, 8, 3, 4, 5])
    """

    def __init__(self, dim: int, channel_token: bool = False) -> None:
        super().__init__()
        self.channel_token = channel_token
        self.block = ViLBlock(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *spatial) → (B, C, *spatial)."""
        with torch.autocast(x.device.type, enabled=False):
            channels = x.flatten(2).to(self.block.skip.dtype)
            if self.channel_token:
                channels = self.block(channels)
            else:
                channels = self.block(channels.transpose(1, 2)).transpose(1, 2)
            return channels.reshape(x.shape).to(x.dtype)
