"""Loading of trained weights that never goes on with others than those that were asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.inferers import Inferer
from torch import Tensor, nn

from ..inferers import EnsembleInferer
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
    getattr(network, "module", network).load_state_dict(fitting_weights(network, path, name))


def fitting_weights(
    network: nn.Module, path: str | PathLike[str], name: str = "", mapped: bool = False
) -> dict[str, Tensor]:
    """The weights in a file, checked against a network, which is left as it is.

    Args:
        network: as of :func:`load_weights`, as the next two and what is raised.
        path: the file.
        name: whose network it is.
        mapped: leave the tensors on the disk until they are used; they take no memory of their own.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights at {path}: {GET}")
    state = read_weights(path, mapped)
    network = getattr(network, "module", network)
    if faults := _faults(network.state_dict(), state):
        hint = "; a published checkpoint has to go through `scanseg weights convert` first"
        hint = hint if "missing" in faults else "; it is of another network: give the settings that it was trained with"
        whose = f"of {name}" if name else type(network).__name__
        raise ValueError(f"{path} does not fit the network {whose}: {faults}{hint}")
    check_finite(state, path)
    return state


def trained_folds(ckpt_dir: Path) -> list[str]:
    """Numbers of the folds that have weights in a folder, in their order; ``fold_0_backup`` does not count."""
    names = (path.parent.name.removeprefix("fold_") for path in ckpt_dir.glob("fold_*/model.pt"))
    return sorted((name for name in names if name.isdecimal()), key=int)


def weight_files(
    ckpt_dir: str | PathLike[str], weights: Any = None, folds: Any = None, fold: int | None = None
) -> list[str]:
    """The files of weights of a run: one, or several that are averaged.

    Args:
        ckpt_dir: folder of ``model.pt``, and of ``fold_0/model.pt`` and so on.
        weights: paths instead, as a list or with commas between them; None for the folder's.
        folds: "all" for those of all folds in the folder, or numbers as a list or with commas between them; None for
            the folder's own.
        fold: the fold whose held-out cases the run scores, where it does.

    Returns:
        The paths. Whether the files exist is checked when they are loaded.

    Raises:
        ValueError: if ``folds`` is something else or has a number twice, or stands beside another choice.
        FileNotFoundError: if the folder has no folds, or others than these.

    Example:
        >>> weight_files("models", folds="0,2")
        ['models/fold_0/model.pt', 'models/fold_2/model.pt']
    """
    folder = Path(ckpt_dir)
    if weights is not None and folds is not None:
        raise ValueError(f"give weights ({weights}) or folds ({folds}), not both")
    if weights is not None:
        if isinstance(weights, str | PathLike):
            weights = [weights] if Path(weights).is_file() else str(weights).split(",")
        return [str(path).strip() for path in weights]
    if folds is None:
        return [(folder / "model.pt").as_posix()]
    if fold is not None:
        raise ValueError(
            f"fold {fold} and folds {folds}: the networks of the other folds were trained on the cases of this fold"
        )
    there = trained_folds(folder)
    if folds == "all":
        if not there:
            raise FileNotFoundError(f"{folder} has no folds (fold_0/model.pt, …): train them with run training --folds")
        return [(folder / f"fold_{number}" / "model.pt").as_posix() for number in there]
    numbers = folds.split(",") if isinstance(folds, str) else folds if isinstance(folds, Sequence) else [folds]
    if not all(str(number).strip().isdigit() for number in numbers):
        raise ValueError(f"folds is {folds!r}, but all or numbers such as 0,2 are needed")
    numbers = [int(number) for number in numbers]
    if len(set(numbers)) < len(numbers):
        raise ValueError(
            f"folds is {folds!r}, but each number can be given only once: all folds have the same weight in the average"
        )
    if there and (missing := [number for number in numbers if str(number) not in there]):
        raise FileNotFoundError(f"{folder} has no weights of fold {missing[0]}: it has those of {', '.join(there)}")
    return [(folder / f"fold_{number}" / "model.pt").as_posix() for number in numbers]


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

    Of several files the probabilities are averaged: the evaluator gets an
    :class:`components.inferers.EnsembleInferer` around its inferer.

    MONAI's ``CheckpointLoader`` reports a missing file, or one that does not fit, in many lines. Federated clients
    of MONAI switch off every handler that has ``CheckpointLoader`` in its name, since the server sends the weights.

    Args:
        load_path: the file, or several, as :func:`weight_files` gives them.
        network: the network, wrapped for many processes or not.
        random_weights: go on with the weights that the network was made with, to try out a configuration; the log says
            so.
        sigmoid: of several files: whether each channel is a class of its own, instead of all channels sharing a
            softmax.

    Raises:
        FileNotFoundError: when the run starts, if there is no such file.
        ValueError: when the run starts, if a file does not fit.
    """

    def __init__(
        self,
        load_path: str | Sequence[str],
        network: nn.Module,
        random_weights: bool = False,
        sigmoid: bool = False,
    ) -> None:
        self.paths = [load_path] if isinstance(load_path, str | PathLike) else list(load_path)
        self.network, self.random_weights, self.sigmoid = network, random_weights, sigmoid

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights."""
        if self.random_weights:
            logger.warning("the weights are random: the results are meaningless (random_weights is true)")
            return
        if len(self.paths) == 1:
            load_weights(self.network, self.paths[0])
        elif not isinstance(engine.inferer, EnsembleInferer):
            engine.inferer = ensemble(engine.inferer, self.network, self.paths, sigmoid=self.sigmoid)
        logger.info("weights: %s", ", ".join(self.paths))


def ensemble(
    inferer: Inferer, network: nn.Module, paths: Sequence[str | PathLike[str]], name: str = "", sigmoid: bool = False
) -> EnsembleInferer:
    """An inferer that averages over several files of weights, each checked as of :func:`load_weights`.

    Args:
        inferer: what runs the network.
        network: the network, wrapped for many processes or not.
        paths: the files; they have to stay until the inference is done.
        name: whose network it is, for messages.
        sigmoid: as of :class:`components.inferers.EnsembleInferer`.
    """
    states = [fitting_weights(network, path, name, mapped=True) for path in paths]
    return EnsembleInferer(inferer, getattr(network, "module", network), states, sigmoid)
