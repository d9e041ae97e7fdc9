"""A loss over the batches of all processes together."""

from __future__ import annotations

from collections.abc import Sequence

import ignite.distributed as idist
import torch
from monai.utils import convert_to_tensor
from torch import nn


class GatheredLoss(nn.Module):
    """Takes a loss over the joint batch of all processes, for losses that are no mean over the items of a batch.

    A Dice over the batch of each process is another loss than the Dice over the joint batch. Here each process gathers
    what the others predict and has the same loss as a single process with the joint batch; through
    ``DistributedDataParallel``, which averages the gradients, the network gets the same gradients, too. In a single
    process this is the given loss.

    Args:
        loss: takes logits, or a list of them, and target.

    Example:
        >>> GatheredLoss(nn.MSELoss())(torch.zeros(2, 1), torch.ones(2, 1))
        tensor(1.)
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Loss of the joint batch.

        Args:
            logits: B × C × spatial, or a list of such tensors; the same shapes in each process.
            target: B × 1 × spatial.
        """
        processes = idist.get_world_size()
        if processes == 1:
            return self.loss(logits, target)
        several = isinstance(logits, Sequence)
        joint = [_gather(level) for level in logits] if several else _gather(logits)
        loss = self.loss(joint, _gather(target))
        # The others' part is a constant here, and the gradients are divided by the number of processes.
        return processes * loss - (processes - 1) * loss.detach()


def _gather(tensor: torch.Tensor) -> torch.Tensor:
    tensor = convert_to_tensor(tensor, track_meta=False)
    parts = list(idist.all_gather(tensor.detach().contiguous()).split(len(tensor)))
    parts[idist.get_rank()] = tensor
    return torch.cat(parts)
