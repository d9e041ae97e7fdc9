"""The trained network as a model of MLflow: plain weights and the executed config, no pickle.

MLflow's own way for PyTorch pickles the whole network, which executes code when it is loaded and breaks with the next
version of the code. Here MLflow keeps the best weights, a plain state dict, the executed config that makes the network,
and the code of the components. ``mlflow.pyfunc.load_model`` builds the network from them:

    model = mlflow.pyfunc.load_model("runs:/RUN/model")
    logits = model.predict(image)  # float32, batch × channels × height × width (× depth), preprocessed

A config executes code as well: load models of people that you trust only.
"""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

NAME = "model"
PACKAGES = ("torch", "monai", "pytorch-ignite", "numpy", "scipy", "numba", "nibabel", "fire")


def log_model(run_id: str, network: nn.Module, shape: tuple[int, ...], weights: str, config: str) -> None:
    """Log the weights as a model with a signature.

    The signature comes from a forward pass of zeros in the shape of a training image; batch and spatial sizes are left
    open.

    Args:
        run_id: a run of the tracking URI that MLflow is set to.
        network: the network that was trained.
        shape: shape of an image that it was trained on, channels first.
        weights: its state dict as a file.
        config: the executed config.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    network = getattr(network, "module", network)
    inputs, outputs = (1, *shape), _output_shape(network, (1, *shape))
    specs = [Schema([TensorSpec(np.dtype(np.float32), _open(s))]) for s in (inputs, outputs)]
    with mlflow.start_run(run_id=run_id), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*input example was not provided")  # it would be a patient's image
        mlflow.pyfunc.log_model(
            name=NAME,
            python_model=os.fspath(Path(__file__).with_name("mlflow_code.py")),
            artifacts={"weights": os.fspath(Path(weights).resolve()), "config": os.fspath(Path(config).resolve())},
            code_paths=[os.fspath(Path(__file__).parents[1])],
            signature=ModelSignature(inputs=specs[0], outputs=specs[1]),
            pip_requirements=[f"{package}=={version(package)}" for package in PACKAGES],
        )


def build(config: str, weights: str) -> nn.Module:
    """Build the network of an executed config and fill it.

    Args:
        config: the config, with ``network_def``.
        weights: its state dict.

    Returns:
        The network in evaluation mode on the CPU.
    """
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(config)
    if "encoder_weights" in parser:  # all weights come from the state dict
        parser["encoder_weights"] = None
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


def _output_shape(network: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    training = network.training
    try:
        with torch.no_grad():
            return tuple(network.eval()(torch.zeros(shape, device=next(network.parameters()).device)).shape)
    finally:
        network.train(training)


def _open(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape of any batch and any size."""
    return (-1, shape[1], *[-1] * (len(shape) - 2))
