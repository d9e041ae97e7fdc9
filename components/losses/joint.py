"""Dice and cross entropy over the batches of all processes together."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
from monai.losses import DiceCELoss
from monai.networks import one_hot
from monai.utils import convert_to_tensor


class JointDiceCELoss(DiceCELoss):
    """MONAI's ``DiceCELoss`` with ``batch=True`` and ``softmax=True``, over the joint batch of all processes.

    A Dice over the batch of each process is another loss than the Dice over the joint batch. Here the processes add up
    what the Dice is made of, two numbers for each class, so that each has the loss of a single process with the joint
    batch; through ``DistributedDataParallel``, which averages the gradients, the network gets the same gradients, too.
    What is sent does not grow with the image, and for each process not with their number. The processes have batches of
    one size. In a single process this is MONAI's loss.

    Args:
        kwargs: arguments of ``monai.losses.DiceCELoss``.

    Raises:
        ValueError: if they ask for another Dice than the one of the recipes.

    Example:
        >>> loss = JointDiceCELoss(to_onehot_y=True, softmax=True, batch=True)
        >>> loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)).round(decimals=3)
        tensor(1.3600)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, needed in (("batch", True), ("softmax", True), ("to_onehot_y", True), ("jaccard", False)):
            if getattr(self.dice, name) != needed:
                raise ValueError(f"JointDiceCELoss needs {name}={needed}: use monai.losses.DiceCELoss in one process")
        if self.dice.reduction != "mean" or self.dice.class_weight is not None:
            raise ValueError("JointDiceCELoss has no class weights, and reduction='mean' only")

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Loss of the joint batch.

        Args:
            input: logits, B × C × spatial, of the same shape in each process.
            target: classes, B × 1 × spatial.
        """
        processes = idist.get_world_size()
        if processes == 1:
            return super().forward(input, target)
        shared, both = joint(self._parts(input, target))
        dice = 1 - (2 * shared + self.dice.smooth_nr) / (both + self.dice.smooth_dr)
        cross_entropy = joint(self.ce(input, target)) / processes
        return self.lambda_dice * dice.mean() + self.lambda_ce * cross_entropy

    def _parts(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        first = 0 if self.dice.include_background else 1
        predicted = convert_to_tensor(logits, track_meta=False).float().softmax(1)[:, first:]
        wanted = one_hot(convert_to_tensor(target, track_meta=False), logits.shape[1], dtype=torch.float32)[:, first:]
        return overlaps(predicted, wanted, self.dice.squared_pred)


def overlaps(predicted: torch.Tensor, wanted: torch.Tensor, squared: bool = False) -> torch.Tensor:
    """What a Dice over a batch is made of.

    Args:
        predicted: probabilities, B × C × spatial.
        wanted: masks of the same shape.
        squared: whether the probabilities are squared in the denominator.

    Returns:
        2 × C: of each class the overlap of prediction and target, and the sum of both.
    """
    axes = [0, *range(2, predicted.ndim)]
    size = predicted.square() if squared else predicted
    return torch.stack([(predicted * wanted).sum(axes), size.sum(axes) + wanted.sum(axes)])


def joint(own: torch.Tensor) -> torch.Tensor:
    """The sum over all processes; its gradient is that of the own part, times their number, which DDP divides by."""
    own = convert_to_tensor(own, track_meta=False)
    total = idist.all_reduce(own.detach().clone())
    return total + idist.get_world_size() * (own - own.detach())
