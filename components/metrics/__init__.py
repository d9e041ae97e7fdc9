"""Scores of segmentations: overlap and surface distance, conventions for empty masks, tables over cases and classes."""

from .conventions import CONVENTIONS, Convention, score
from .functional import asd, dice, hd95, image_diagonal, jaccard, nsd
from .instances import InstanceScoring, count_matches, drop_border
from .regions import RegionPairs
from .scoring import FrameScoring, LabelScoring, OrganScoring, Scoring
from .table import ScoreTable

__all__ = [
    "CONVENTIONS",
    "Convention",
    "FrameScoring",
    "InstanceScoring",
    "LabelScoring",
    "OrganScoring",
    "RegionPairs",
    "ScoreTable",
    "Scoring",
    "asd",
    "count_matches",
    "dice",
    "drop_border",
    "hd95",
    "image_diagonal",
    "jaccard",
    "nsd",
    "score",
]
