"""Learning rate schedules of a resumed training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


def continue_schedule(
    scheduler: LRScheduler,
    optimizer: torch.optim.Optimizer,
    saved: Mapping[str, Any],
    optimizer_saved: Mapping[str, Any],
) -> None:
    """Restore an optimizer, and bring its fresh scheduler to the step where the saved one stood.

    The schedule is that of the configuration, repeated from its start: a training that is resumed with more epochs
    gets, from here on, the learning rate of one that had these epochs from the beginning. The same holds for the
    optimizer's settings: the learning rate or the weight decay may be changed. With an unchanged configuration nothing
    changes, to the last bit. A schedule that follows a score has no length, and is restored.

    Args:
        scheduler: as the configuration makes it, not stepped yet.
        optimizer: its optimizer, as the configuration makes it.
        saved: state of the scheduler.
        optimizer_saved: state of the optimizer.
    """
    if isinstance(scheduler, ReduceLROnPlateau):
        optimizer.load_state_dict(optimizer_saved)
        scheduler.load_state_dict(saved)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about steps of a scheduler without steps of its optimizer
        for _ in range(saved["last_epoch"]):
            scheduler.step()
    ours = settings(optimizer)
    optimizer.load_state_dict(optimizer_saved)
    for group, setting in zip(optimizer.param_groups, ours, strict=True):
        group.update(setting)


def settings(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Learning rate, momentum and the like of each group of an optimizer's parameters."""
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
