"""Dice and cross entropy where classes overlap, and where voxels are to be left out."""

from __future__ import annotations

from collections.abc import Sequence

import ignite.distributed as idist
import torch
import torch.nn.functional as F
from monai.losses import MaskedDiceLoss
from monai.networks import one_hot
from monai.utils import convert_to_tensor
from torch import Tensor
from torch.nn.modules.loss import _Loss

from ..regions import check_regions, region_masks
from .joint import joint, overlaps


class _PartialLoss(_Loss):
    """Dice and cross entropy over the voxels that count.

    With several processes the cross entropy, and with ``batch`` the Dice, are those of the joint batch: each process
    has another number of voxels that count.
    """

    def __init__(
        self,
        include_background: bool,
        squared_pred: bool,
        batch: bool,
        smooth_nr: float,
        smooth_dr: float,
        lambda_dice: float,
        lambda_ce: float,
    ) -> None:
        super().__init__()
        self.dice = MaskedDiceLoss(
            include_background=include_background,
            squared_pred=squared_pred,
            batch=batch,
            smooth_nr=smooth_nr,
            smooth_dr=smooth_dr,
        )
        self.lambda_dice, self.lambda_ce = lambda_dice, lambda_ce

    def _dice(self, predicted: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
        """The loss of probabilities and masks, B × C × spatial, where ``counted``, B × 1 × spatial, is true."""
        if not self.dice.batch or idist.get_world_size() == 1:
            return self.dice(predicted, wanted, counted)
        first = 0 if self.dice.include_background else 1
        parts = overlaps(predicted[:, first:] * counted, wanted[:, first:] * counted, self.dice.squared_pred)
        shared, both = joint(parts)
        return (1 - (2 * shared + self.dice.smooth_nr) / (both + self.dice.smooth_dr)).mean()

    @staticmethod
    def _mean(entropy: Tensor, number: Tensor) -> Tensor:
        """A sum over voxels divided by how many they are; 0 if there is none."""
        if idist.get_world_size() > 1:
            entropy, number = joint(entropy), idist.all_reduce(number.clone())
        return entropy / number.clamp(min=1)


class IgnoringDiceCELoss(_PartialLoss):
    """``monai.losses.DiceCELoss`` with softmax, in which voxels of one label count nowhere.

    The Dice is that of the other voxels, the cross entropy their mean; where all of them are ignored it is 0. It is
    nnU-Net's loss for a data set with an "ignore" label (Isensee et al., 2021) plus 1, as MONAI counts the Dice from 1.
    Of several processes the cross entropy, and with ``batch`` the Dice, are those of the joint batch, as in
    :class:`components.losses.JointDiceCELoss`.

    Args:
        ignore_label: the label whose voxels do not count.
        include_background: whether the Dice of the background counts.
        squared_pred: whether the Dice's denominator has squares.
        batch: whether the Dice is taken over the batch, not for each of its items.
        smooth_nr: added to the Dice's numerator.
        smooth_dr: added to the Dice's denominator.
        lambda_dice: weight of the Dice loss.
        lambda_ce: weight of the cross entropy.

    Example:
        >>> loss = IgnoringDiceCELoss(ignore_label=2)
        >>> logits = torch.tensor([[[9.0, -9.0], [-9.0, 9.0]]])
        >>> bool(loss(logits, torch.tensor([[[0, 2]]])) < 0.01)
        True
    """

    def __init__(
        self,
        ignore_label: int,
        include_background: bool = True,
        squared_pred: bool = False,
        batch: bool = False,
        smooth_nr: float = 1e-5,
        smooth_dr: float = 1e-5,
        lambda_dice: float = 1.0,
        lambda_ce: float = 1.0,
    ) -> None:
        super().__init__(include_background, squared_pred, batch, smooth_nr, smooth_dr, lambda_dice, lambda_ce)
        self.ignore_label = ignore_label

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            input: logits, B × C × spatial.
            target: labels, B × 1 × spatial: 0 … C − 1, or ``ignore_label``.
        """
        logits, labels = (convert_to_tensor(tensor, track_meta=False) for tensor in (input.float(), target))
        counted = labels != self.ignore_label
        wanted = one_hot(torch.where(counted, labels, 0), logits.shape[1])
        dice = self._dice(logits.softmax(1), wanted, counted)
        entropy = F.cross_entropy(logits, labels[:, 0].long(), ignore_index=self.ignore_label, reduction="sum")
        return self.lambda_dice * dice + self.lambda_ce * self._mean(entropy, counted.sum())


class RegionDiceBCELoss(_PartialLoss):
    """Dice and binary cross entropy of regions, which are sets of labels and may overlap: one logit for each.

    It is nnU-Net's loss for regions (Isensee et al., 2021) plus 1, as MONAI counts the Dice from 1. As there, the
    binary cross entropy is the mean over voxels and regions, but with ``ignore_label`` the sum over the regions of the
    means over the voxels that count. Of several processes it is that of the joint batch, and so is the Dice with
    ``batch``.

    Args:
        regions: the labels of each region, in the order of the logits.
        ignore_label: the label whose voxels count nowhere; None counts all.
        squared_pred: whether the Dice's denominator has squares.
        batch: whether the Dice is taken over the batch, not for each of its items.
        smooth_nr: added to the Dice's numerator.
        smooth_dr: added to the Dice's denominator.
        lambda_dice: weight of the Dice loss.
        lambda_ce: weight of the binary cross entropy.

    Raises:
        ValueError: if a region is empty, or has the background or ``ignore_label`` in it.

    Example:
        >>> loss = RegionDiceBCELoss([[1, 2], [2]])
        >>> logits = torch.tensor([[[9.0, 9.0, -9.0], [-9.0, 9.0, -9.0]]])
        >>> loss(logits, torch.tensor([[[1, 2, 0]]])).round(decimals=3)
        tensor(0.)
    """

    def __init__(
        self,
        regions: Sequence[Sequence[int]],
        ignore_label: int | None = None,
        squared_pred: bool = False,
        batch: bool = False,
        smooth_nr: float = 1e-5,
        smooth_dr: float = 1e-5,
        lambda_dice: float = 1.0,
        lambda_ce: float = 1.0,
    ) -> None:
        super().__init__(True, squared_pred, batch, smooth_nr, smooth_dr, lambda_dice, lambda_ce)
        self.regions, self.ignore_label = check_regions(regions, ignore_label), ignore_label

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            input: logits, B × number of regions × spatial.
            target: labels, B × 1 × spatial.
        """
        logits, labels = (convert_to_tensor(tensor, track_meta=False) for tensor in (input.float(), target))
        wanted = region_masks(labels, self.regions, dim=1).to(logits)
        if self.ignore_label is None:
            counted, number = torch.ones_like(labels, dtype=torch.bool), torch.tensor(wanted.numel()).to(labels.device)
        else:
            counted = labels != self.ignore_label
            number = counted.sum()
        dice = self._dice(logits.sigmoid(), wanted, counted)
        entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * counted
        return self.lambda_dice * dice + self.lambda_ce * self._mean(entropy.sum(), number)
