"""Scores of segmentations: overlap and surface distance, conventions for empty masks, tables over cases and classes."""

from .conventions import CONVENTIONS, Convention, score
from .functional import dice, hd95, image_diagonal
from .table import ScoreTable

__all__ = ["CONVENTIONS", "Convention", "ScoreTable", "dice", "hd95", "image_diagonal", "score"]
