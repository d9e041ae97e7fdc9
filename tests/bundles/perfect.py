"""An inferer that sees the labels: image intensities are the numbers of the classes."""

from __future__ import annotations

import torch
from monai.inferers import Inferer


class PerfectInferer(Inferer):
    """Gives the logits of the class that each voxel shows, whatever the preprocessing did to the intensities.

    Args:
        num_classes: number of classes, all of which are in the image.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def __call__(self, inputs, network=None, *args, **kwargs):
        x = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        low, high = x.min(), x.max()
        labels = ((x - low) / (high - low) * (self.num_classes - 1)).round().long()
        return torch.nn.functional.one_hot(labels[:, 0], self.num_classes).movedim(-1, 1).float() * 9
