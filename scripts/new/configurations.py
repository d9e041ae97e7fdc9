"""Which networks are planned for volumes: nnU-Net's configurations."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UserError
from ..memory import Memory
from .base import Base
from .frame import frame_of, full_and_low, room_of
from .own_data import Source, Sources
from .summary import Measurement

CONFIGURATIONS = ("3d", "2d", "3d_lowres", "3d_cascade")
"""In space, slice by slice, in space at a lower resolution, and in space with the result of the lower resolution."""
LOW, CASCADE = CONFIGURATIONS[2:]
SEVERAL = {"all": CONFIGURATIONS, CASCADE: (LOW, CASCADE)}
"""Choices that make several bundles, NAME_3d and so on."""


def check_configuration(configuration: str | None, base: Base, sources: Sources) -> None:
    """Raise UserError unless there can be such a configuration of a bundle for such images."""
    if configuration is None:
        return
    if configuration not in (*CONFIGURATIONS, "all"):
        raise UserError(f"--configuration {configuration} is unknown: give one of {', '.join(CONFIGURATIONS)}, all")
    if base.network == "msvm":
        raise UserError("--configuration is for bundles of xLSTM-UNet: MSVM-UNet always works slice by slice")
    if sources.spatial_dims == 2 and configuration not in ("2d", "all"):
        raise UserError(
            f"--configuration {configuration} is for volumes, but {sources.root} has pictures: leave it out"
        )


def planned(measurement: Measurement, memory: Memory, variant: str, planner: str | None) -> list[str]:
    """The configurations that nnU-Net would plan for volumes, in the order of :data:`CONFIGURATIONS`.

    Args:
        measurement: the data set.
        memory: what a training may use.
        variant: of xLSTM-UNet.
        planner: of nnU-Net, whose rule is taken; None to fill the memory by our estimate.
    """
    frame = frame_of(measurement)
    if frame.flat:
        return ["2d"]
    _, low = full_and_low(frame, room_of(measurement, memory, variant, planner))
    return [name for name in CONFIGURATIONS if low is not None or name not in (LOW, CASCADE)]


def previous_stage(name: str, configuration: str) -> str:
    """Name of the bundle that makes the label maps for a cascade of this name; empty for another configuration."""
    return f"{name.removesuffix(CASCADE)}{LOW}" if configuration == CASCADE else ""


def without_cascade(wanted: Sequence[str], configuration: str, cases: Sequence[Source]) -> tuple[list[str], list[str]]:
    """Leave out the cascade where there are no folds, whose networks make the maps for its training.

    Args:
        wanted: configurations.
        configuration: what the user asked for, a key of :data:`SEVERAL`.
        cases: the cases with their folds.

    Returns:
        What is left, and notes for the user.

    Raises:
        UserError: if the user asked for the cascade.
    """
    if CASCADE not in wanted or any(case.fold is not None for case in cases):
        return list(wanted), []
    why = "the cascade learns from label maps of cases that the low resolution's networks have not seen"
    if configuration == CASCADE:
        raise UserError(f"{why}: give --folds 5")
    return [name for name in wanted if name != CASCADE], [f"{why}: with --folds 5 it would be planned as well"]
