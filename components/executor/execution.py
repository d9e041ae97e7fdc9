"""The executor of a forward pass, and where it runs blocks as they are written."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from ..blocks.activation_checkpointing import run_blocks
from ..blocks.patch_expand import PatchExpand
from ..blocks.residual import ResidualBlock, ResidualUpBlock
from ..blocks.vss import VSSUpBlock
from ..kernels.linear import Linear
from ..kernels.registry import recording
from . import patch_expand, residual
from .workspace import workspace

LARGE_INPUT = 50_000
"""Voxels of an image above which a network trains by rows.

The rounding of channels-last convolutions differs, which changes signs before the leaky ReLU and in small maps a
float32 gradient by more than 0.1 %. Small maps, which are quick in any order, keep PyTorch's own.
"""

FOLDED: Mapping[type, Callable] = {PatchExpand: patch_expand.expand, VSSUpBlock: patch_expand.up}
BY_ROWS: Mapping[type, Callable] = {
    ResidualUpBlock: residual.up,
    nn.Conv2d: residual.convolve,
    nn.Conv3d: residual.convolve,
}
REWRITTEN = (ResidualBlock, ResidualUpBlock, PatchExpand)
"""Blocks whose layers are read instead of called."""
LAYERS = (
    nn.Conv2d,
    nn.Conv3d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.BatchNorm2d,
    nn.SyncBatchNorm,
    nn.LayerNorm,
    Linear,
    nn.Identity,
    nn.Sequential,
)
"""What they are built of."""


class Executor:
    """Runs blocks as they are written.

    Args:
        instead: functions that run blocks of a type in another way, with the block and its maps as arguments.
    """

    def __init__(self, instead: Mapping[type, Callable] | None = None) -> None:
        self._instead = instead or {}

    def __call__(self, block: nn.Module, *maps: Tensor) -> Tensor:
        """Run a block on its maps. A stage of a decoder uses them up: nothing may read them afterwards."""
        function = self._instead.get(type(block))
        return block(*maps) if function is None else function(block, *maps)

    def chain(self, blocks: Iterable[nn.Module], x: Tensor, recompute: bool = False) -> Tensor:
        """Run blocks one after the other; x itself is kept.

        Args:
            blocks: from a map to a map.
            x: input of the first block.
            recompute: keep only the input of each block and recompute the rest in the backward pass.
        """
        return run_blocks(blocks, x, recompute)


class RowExecutor(Executor):
    """Runs convolutional blocks by rows, see :mod:`components.executor.residual`."""

    def __init__(self) -> None:
        super().__init__({**FOLDED, **BY_ROWS})

    def chain(self, blocks: Iterable[nn.Module], x: Tensor, recompute: bool = False) -> Tensor:
        """See :meth:`Executor.chain`."""
        return residual.chain(blocks, x, recompute)


def executing(network: nn.Module, x: Tensor) -> contextlib.AbstractContextManager[Executor]:
    """Where a forward pass runs, and the executor of its blocks.

    Blocks run as they are written while an exporter or a compiler records them, where a part of the network has a hook,
    which then sees each layer and its maps, and where a layer of a block was replaced.

    Args:
        network: that runs.
        x: its input.
    """
    if recording() or torch.compiler.is_compiling() or not _as_built(network):
        return contextlib.nullcontext(Executor())
    if x.device.type != "cpu":
        return contextlib.nullcontext(Executor(FOLDED))
    if not torch.is_grad_enabled():
        return _in_workspace()
    large = network.training and x.shape[2:].numel() > LARGE_INPUT
    return contextlib.nullcontext(RowExecutor() if large else Executor(FOLDED))


@contextlib.contextmanager
def _in_workspace() -> Iterator[Executor]:
    with workspace():
        yield RowExecutor()


def _as_built(network: nn.Module) -> bool:
    """Whether no part of a network has a hook, and no layer of a block was replaced, parametrised or wrapped."""
    if _has_any_global_hook():
        return False
    for module in itertools.islice(network.modules(), 1, None):
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
            return False
        if isinstance(module, REWRITTEN) and any(type(layer) not in LAYERS for layer in module.children()):
            return False
    return True
