"""Loading of trained weights that never goes on with others than those that were asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from ignite.engine import Engine, Events
from torch import Tensor, nn

from ..networks.weights_file import check_finite, first_of, read_weights

logger = logging.getLogger(__name__)

GET = (
    "train the bundle, convert published weights with `scanseg weights convert`, or get released ones with "
    "`scanseg zoo fetch`"
)


def load_weights(network: nn.Module, path: str | PathLike[str], name: str = "") -> None:
    """Fill a network from a file of a training: ``model.pt`` (weights) or ``last.pt`` (the state of a training).

    Only tensors and plain values are read from the file. Nothing is changed unless everything fits.

    Args:
        network: the network, wrapped for many processes or not.
        path: the file.
        name: whose network it is, for the message; by default its class says what it is.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, holds no weights or values that are not finite, or any name or shape differs; the
            message names the first ones.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights at {path}: {GET}")
    state = read_weights(path)
    network = getattr(network, "module", network)
    if faults := _faults(network.state_dict(), state):
        hint = "; a published checkpoint has to go through `scanseg weights convert` first"
        hint = hint if "missing" in faults else "; it is of another network: give the settings that it was trained with"
        whose = f"of {name}" if name else type(network).__name__
        raise ValueError(f"{path} does not fit the network {whose}: {faults}{hint}")
    check_finite(state, path)
    network.load_state_dict(state)


def _faults(needed: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    shapes = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in needed.items()
        if name in given and given[name].shape != tensor.shape
    ]
    parts = {
        "missing": [name for name in needed if name not in given],
        "not known": [name for name in given if name not in needed],
        "of another shape": shapes,
    }
    return "; ".join(f"{len(names)} tensors {kind}, first {first_of(names)}" for kind, names in parts.items() if names)


class StrictCheckpointLoader:
    """Loads weights into a network when an evaluation or inference starts, see :func:`load_weights`.

    MONAI's ``CheckpointLoader`` would tell a missing file, or one that does not fit, in many lines. Federated clients
    of MONAI switch off every handler that has ``CheckpointLoader`` in its name, since the server sends the weights.

    Args:
        load_path: the file.
        network: the network, wrapped for many processes or not.
        random_weights: go on with the weights that the network was made with, to try out a configuration; the log says
            so.

    Raises:
        FileNotFoundError: when the run starts, if there is no such file.
        ValueError: when the run starts, if the file does not fit.
    """

    def __init__(self, load_path: str, network: nn.Module, random_weights: bool = False) -> None:
        self.load_path, self.network, self.random_weights = load_path, network, random_weights

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights."""
        if self.random_weights:
            logger.warning("the weights are random: the results mean nothing (random_weights is true)")
            return
        load_weights(self.network, self.load_path)
        logger.info("weights: %s", self.load_path)
