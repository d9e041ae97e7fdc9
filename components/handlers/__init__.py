"""Handlers of MONAI and Ignite engines: scores and history as files, freezing, progress."""

from .checkpoints import Checkpoints
from .clip import GradientClipping
from .freeze import FreezeEncoder
from .history import HistoryWriter
from .progress import Progress
from .record import RunRecord
from .scores import ScoreWriter
from .tracking import MLflowRun

__all__ = [
    "Checkpoints",
    "FreezeEncoder",
    "GradientClipping",
    "HistoryWriter",
    "MLflowRun",
    "Progress",
    "RunRecord",
    "ScoreWriter",
]
