"""Runs and models of MLflow."""

from .mlflow_run import MLflowRun

__all__ = ["MLflowRun"]
