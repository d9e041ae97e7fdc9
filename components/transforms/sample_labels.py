"""Label maps looked up between voxels."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor


def sample_labels(labels: Tensor, coordinates: Tensor) -> Tensor:
    """The label that holds at least half of a place, by linear interpolation between the voxels around it.

    The same as to interpolate each label's mask linearly and take the label whose mask is 0.5 or more there, but in one
    pass for all labels. The place is background where no label has so much, as where three of them meet, and outside of
    the voxels' centres. Of two labels with a half each the larger one counts. Source: the augmentation of nnU-Net
    (Isensee et al., 2021).

    Args:
        labels: label maps (C, *spatial), all looked up at the same places.
        coordinates: (spatial axes, *size), in voxels, 0 is the centre of the first one.

    Returns:
        Labels (C, *size) of the type of ``labels``.

    Example:
        >>> sample_labels(torch.tensor([[0, 5, 7]]), torch.tensor([[0.4, 0.5, 1.4, 2.1]]))
        tensor([[0, 5, 5, 0]])
    """
    shape, size = labels.shape[1:], coordinates.shape[1:]
    places = coordinates.flatten(1)
    limits = torch.tensor(shape, dtype=places.dtype)[:, None] - 1
    inside = ((places >= 0) & (places <= limits)).all(0)
    low = places.floor().clamp_(min=torch.zeros_like(limits), max=limits)
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    steps = [(first < limit).long() * stride for first, limit, stride in zip(low, limits, strides, strict=True)]
    first = sum(axis.long() * stride for axis, stride in zip(low, strides, strict=True))
    sides = list(itertools.product((0, 1), repeat=len(shape)))
    flat = labels.flatten(1)
    corners = [flat[:, sum((step for step, upper in zip(steps, side, strict=True) if upper), first)] for side in sides]
    result = torch.where(inside, corners[0], 0)
    # Most places lie within one label: only the others need the weights.
    mixed = torch.zeros_like(result, dtype=torch.bool)
    for corner in corners[1:]:
        mixed |= corner != corners[0]
    channel, place = (mixed & inside).nonzero(as_tuple=True)
    share = (places[:, place] - low[:, place]).unbind()
    weight = torch.stack([
        math.prod(part if upper else 1 - part for part, upper in zip(share, side, strict=True)) for side in sides
    ])  # fmt: skip
    around = torch.stack([corner[channel, place] for corner in corners])
    best = torch.zeros_like(around[0])
    for candidate in around:
        half = (weight * (around == candidate)).sum(0) >= 0.5
        best = torch.where(half, torch.maximum(best, candidate), best)
    result[channel, place] = best
    return result.unflatten(1, size)
