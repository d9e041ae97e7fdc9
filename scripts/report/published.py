"""Published scores, for a look beside one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A published table.

    Args:
        source: the paper.
        note: on what it was measured, and what to know for a comparison.
        dice: Dice of each class in percent.
        mean_dice: mean of them as published.
        mean_hd95: mean HD95 as published.
    """

    source: str
    note: str
    dice: dict[str, float]
    mean_dice: float
    mean_hd95: float | None = None


TABLES: tuple[Published, ...] = (
    Published(
        source="MSVM-UNet, arXiv 2408.13735",
        note="12 test volumes of Synapse (BTCV), scored under the published convention, with the model selected on "
        "those volumes; the paper heads the HD95 “mm”, but it was measured in voxels.",
        dice={
            "aorta": 88.73,
            "gallbladder": 74.90,
            "left kidney": 85.62,
            "right kidney": 84.47,
            "liver": 95.74,
            "pancreas": 71.53,
            "spleen": 92.52,
            "stomach": 86.51,
        },
        mean_dice=85.00,
        mean_hd95=14.75,
    ),
)


def published_for(class_names: Sequence[str]) -> Published | None:
    """The published table of exactly these classes in this order, if there is one."""
    return next((table for table in TABLES if list(table.dice) == list(class_names)), None)
