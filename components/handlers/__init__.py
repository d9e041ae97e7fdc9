"""Handlers of MONAI and Ignite engines: scores and history as files, freezing, progress."""

from .checkpoints import Checkpoints
from .freeze import FreezeEncoder
from .history import HistoryWriter
from .progress import Progress
from .scores import ScoreWriter

__all__ = ["Checkpoints", "FreezeEncoder", "HistoryWriter", "Progress", "ScoreWriter"]
