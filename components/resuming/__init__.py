"""Trainings that go on to the bit: checkpoints, the whole state, signals, the lock on their folders."""

from .checkpoints import Checkpoints

__all__ = ["Checkpoints"]
