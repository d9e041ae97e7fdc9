"""Handlers of MONAI and Ignite engines: scores and history as files, freezing, progress."""

from ..resuming import Checkpoints
from .bad_steps import SkipBadSteps
from .clip import GradientClipping
from .freeze import FreezeEncoder
from .history import HistoryWriter
from .next_step import NextStep
from .progress import Progress
from .record import RunRecord
from .scores import ScoreWriter
from .weights import StrictCheckpointLoader, weight_files

__all__ = [
    "Checkpoints",
    "FreezeEncoder",
    "GradientClipping",
    "HistoryWriter",
    "NextStep",
    "Progress",
    "RunRecord",
    "ScoreWriter",
    "SkipBadSteps",
    "StrictCheckpointLoader",
    "weight_files",
]
