"""Segmentation of images with a bundle: ``predict`` for folders of files, ``Predictor`` for one image at a time."""

from ..bundle.inference import InferenceBundle
from .command import predict
from .predictor import Prediction, Predictor

__all__ = ["InferenceBundle", "Prediction", "Predictor", "predict"]
