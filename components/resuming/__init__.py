"""Trainings that can be resumed bit for bit: checkpoints, the whole state, signals, the lock on their folders."""

from .checkpoints import Checkpoints

__all__ = ["Checkpoints"]
