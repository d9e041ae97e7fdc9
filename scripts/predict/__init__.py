"""Segmentation of images with a bundle: ``predict`` for folders of files, ``Predictor`` for one image at a time."""

from __future__ import annotations

import importlib
from typing import Any

from .command import predict

HEAVY = {"InferenceBundle": "..bundle.inference", "Prediction": ".predictor", "Predictor": ".predictor"}
"""Names that need MONAI, and their modules: imported when they are first used."""

__all__ = [*HEAVY, "predict"]


def __getattr__(name: str) -> Any:
    if name in HEAVY:
        return getattr(importlib.import_module(HEAVY[name], __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
