"""Arguments of the operators as the networks give them, at the sizes of the recipes or tiny."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from components import kernels
from components.kernels.layout import channels_last

FORWARD, BACKWARD = "forward", "forward and backward"


@dataclass(frozen=True)
class Inputs:
    """What inputs are to be like.

    Args:
        seed: of their numbers.
        quick: tiny ones.
        device: device type of the tensors.
    """

    seed: int = 0
    quick: bool = False
    device: str = "cpu"

    def size(self, full: Any, tiny: Any) -> Any:
        """The first, or the second if inputs are to be tiny."""
        return tiny if self.quick else full


@dataclass(frozen=True)
class KernelCase:
    """Arguments of an operator.

    Args:
        title: its size as text.
        tensors: arguments by name; all of them get gradients.
        options: other arguments.
        left_out: back ends that cannot do this size, and why.
    """

    title: str
    tensors: dict[str, Tensor]
    options: dict[str, object] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def call(op: str, case: KernelCase, backend: str, mode: str) -> Callable[[], Tensor | None]:
    """A call of an operator, with the gradients of all its tensors if the mode says so."""
    function = getattr(kernels, op)

    def forward() -> Tensor:
        with torch.no_grad():
            return function(**case.tensors, **case.options, backend=backend)

    def backward() -> None:
        y = function(**inputs, **case.options, backend=backend)
        torch.autograd.grad(y, list(inputs.values()), torch.ones_like(y))

    if mode == FORWARD:
        return forward
    inputs = {name: tensor.detach().requires_grad_() for name, tensor in case.tensors.items()}
    return backward


def scan_case(channels: int, length: int, inputs: Inputs) -> KernelCase:
    """A selective scan as in MSVM-UNet: four groups of rows, one state."""
    rows, make = 4 * channels, _maker(inputs)
    return KernelCase(
        f"{rows:,} rows × {length:,} steps",
        {
            "u": make(1, rows, length),
            "delta": make(1, rows, length),
            "A": -make(rows, 1).exp(),
            "B": make(1, 4, 1, length),
            "C": make(1, 4, 1, length),
            "D": make(rows),
            "delta_bias": make(rows),
        },
        {"delta_softplus": True},
    )


def cross_case(channels: int, edge: int, inputs: Inputs) -> KernelCase:
    """A four-path scan as in MSVM-UNet, of an image that is channels-last as there."""
    rank, make = -(-channels // 16), _maker(inputs)
    return KernelCase(
        f"1 × {channels} × {edge} × {edge}",
        {
            "x": channels_last(make(1, channels, edge, edge)),
            "x_proj_weight": make(4, rank + 2, channels) / channels**0.5,
            "dt_projs_weight": make(4, channels, rank) / rank**0.5,
            "dt_projs_bias": make(4, channels),
            "A_logs": make(4 * channels, 1),
            "Ds": make(4 * channels),
        },
    )


def mlstm_case(tokens: int, inputs: Inputs) -> KernelCase:
    """An mLSTM cell as in xLSTM-UNet Enc at the fourth stage of the MRI plan: 4 heads of 128."""
    width, make = inputs.size(128, 8), _maker(inputs)
    qkv = {name: make(1, 4, tokens, width) for name in "qkv"}
    gigabytes = 4 * tokens**2 * 4 / 1e9
    left_out = {"naive": f"it keeps several matrices of {gigabytes:.1f} GB each"} if gigabytes > 1 else {}
    return KernelCase(
        f"{tokens:,} tokens, 4 heads of {width}", {**qkv, "i": make(1, 4, tokens), "f": make(1, 4, tokens) + 3}, {},
        left_out,
    )  # fmt: skip


def _norm_case(channels: int, size: tuple[int, ...], inputs: Inputs) -> KernelCase:
    make = _maker(inputs)
    return KernelCase(
        f"1 × {channels} × {' × '.join(map(str, size))} with residual and leaky ReLU",
        {
            "x": channels_last(make(1, channels, *size)),
            "weight": make(channels),
            "bias": make(channels),
            "residual": channels_last(make(1, channels, *size)),
        },
        {"negative_slope": 0.01},
    )


def _depthwise_case(channels: int, edge: int, inputs: Inputs) -> KernelCase:
    make = _maker(inputs)
    return KernelCase(
        f"2 × {channels} × {edge} × {edge} by 5 × 5",
        {"x": channels_last(make(2, channels, edge, edge)), "weight": make(channels, 1, 5, 5)},
    )


def _maker(inputs: Inputs) -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(inputs.seed)
    return lambda *shape: torch.randn(shape, generator=generator).to(inputs.device)


CASES: dict[str, Callable[[Inputs], list[KernelCase]]] = {
    "selective_scan": lambda s: [scan_case(c, n, s) for c, n in s.size([(96, 3136), (384, 196)], [(4, 16)])],
    "cross_selective_scan": lambda s: [cross_case(c, n, s) for c, n in s.size([(96, 56), (384, 14)], [(16, 4)])],
    "mlstm": lambda s: [mlstm_case(n, s) for n in s.size([420, 6720, 13440], [64, 128])],
    "instance_norm": lambda s: [
        _norm_case(c, n, s) for c, n in s.size([(32, (48, 160, 224)), (128, (24, 40, 56))], [(4, (4, 4, 4))])
    ],
    "depthwise_conv": lambda s: [_depthwise_case(c, n, s) for c, n in s.size([(384, 56), (1536, 14)], [(4, 8)])],
}
"""Sizes of each operator in the networks at their recipes' inputs, and smaller ones."""
