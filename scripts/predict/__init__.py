"""Segmentation of images with a bundle: ``predict`` for folders of files, ``Predictor`` for one image at a time."""

from .bundle import Bundle
from .command import predict
from .predictor import Prediction, Predictor

__all__ = ["Bundle", "Prediction", "Predictor", "predict"]
