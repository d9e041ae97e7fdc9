"""What MLflow executes to get the model that :mod:`components.tracking.mlflow_model` logs; not to be imported."""

from __future__ import annotations

from typing import Any

import mlflow
import numpy as np
import torch

from components.tracking.mlflow_model import build


class Segmentation(mlflow.pyfunc.PythonModel):
    """A network behind MLflow's interface."""

    def load_context(self, context: Any) -> None:
        """Build the network from the logged config and weights."""
        self.network = build(context.artifacts["config"], context.artifacts["weights"])

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        """Logits of preprocessed images, batch × classes × height × width (× depth)."""
        with torch.no_grad():
            return self.network(torch.as_tensor(np.asarray(model_input), dtype=torch.float32)).numpy()


mlflow.models.set_model(Segmentation())
