"""What a training is of: network, optimizer and data set, so that the state of another one is not gone on with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor, nn

ANEW = "or begin anew in another --ckpt_dir"


def origin(network: nn.Module, optimizer: torch.optim.Optimizer, loader: Iterable[Any]) -> dict[str, Any]:
    """What a training is of.

    Args:
        network: the network.
        optimizer: its optimizer.
        loader: the loader of its training data.

    Returns:
        Plain values: the names of the classes of ``network`` and ``optimizer``, and ``data``, see :func:`data_set_of`.
    """
    return {
        "network": type(network).__name__,
        "optimizer": type(optimizer).__name__,
        "data": data_set_of(loader),
    }


def data_set_of(loader: Iterable[Any]) -> dict[str, Any] | None:
    """Name, number of items and a hash of the list of the files that a loader reads.

    Files count by their names below the folder that holds all, so that a data set may move. None if the data set is
    not a list of items with files.
    """
    items = getattr(loader, "dataset", None)
    while hasattr(items, "data"):
        items = items.data
    if not isinstance(items, Sequence) or not items or not all(isinstance(item, Mapping) for item in items):
        return None
    files = [{key: _paths(value) for key, value in item.items()} for item in items]
    files = [{key: paths for key, paths in item.items() if paths} for item in files]
    everything = [path for item in files for paths in item.values() for path in paths]
    if not everything:
        return None
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in everything])
    except ValueError:  # on several drives, or absolute and relative ones
        folder = ""
    names = sorted(
        json.dumps({key: [_below(path, folder) for path in paths] for key, paths in sorted(item.items())})
        for item in files
    )
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    return {"name": os.path.basename(folder), "items": len(items), "sha256": digest}


def check_origin(state: Mapping[str, Any], network: nn.Module, now: Mapping[str, Any], path: Path) -> None:
    """Check that a state is of this training.

    Args:
        state: the state; ``state["origin"]``, of :func:`origin`, may be missing in older ones.
        network: the network that is to continue.
        now: what the training is of that is to continue.
        path: file of the state, for messages.

    Raises:
        ValueError: that names both, and what to do, if the network, the optimizer or the data set is another one.
    """
    before = state.get("origin") or {}
    _check_network(state["network"], network, before.get("network", "a network"), path)
    theirs, ours = before.get("optimizer"), now["optimizer"]
    if theirs is not None and theirs != ours:
        raise ValueError(
            f"{path} is from a training with {theirs}, but this one has {ours}: continue with {theirs}, as the first "
            f"command had it, {ANEW}"
        )
    if before.get("data") and now["data"] and before["data"]["sha256"] != now["data"]["sha256"]:
        raise ValueError(
            f"{path} is from a training on {_shown(before['data'])}, but this one has {_shown(now['data'])}: give the "
            f"--dataset_dir that it started with, {ANEW}"
        )


def check_optimizer(
    saved: Mapping[str, Any], optimizer: torch.optim.Optimizer, path: Path, known: bool = False
) -> None:
    """Check that the state of an optimizer is of one with the same settings and numbers of parameters.

    Args:
        saved: state of an optimizer.
        optimizer: the one that is to continue.
        path: file of the state, for messages.
        known: whether their classes are known to be the same.

    Raises:
        ValueError: that names both, if it is of another one.
    """
    ours = optimizer.state_dict()["param_groups"]
    theirs = saved["param_groups"]
    missing = set(optimizer.defaults) - {name for group in theirs for name in group}
    if missing and not known:  # schedules add settings of their own, but take none away
        had = {name for group in theirs for name in group} - set(optimizer.defaults) - {"params", "initial_lr"}
        raise ValueError(
            f"{path} is from a training with another optimizer, which has {_listed(had)}, but this one has "
            f"{type(optimizer).__name__} with {_listed(missing)}: continue with that of the first command, {ANEW}"
        )
    sizes, own_sizes = ([len(group["params"]) for group in groups] for groups in (theirs, ours))
    if sizes != own_sizes:
        raise ValueError(
            f"{path} has an optimizer of {' + '.join(map(str, sizes))} parameters, but this training has "
            f"{' + '.join(map(str, own_sizes))}: continue with the settings of the first command, {ANEW}"
        )


def _check_network(saved: Mapping[str, Tensor], network: nn.Module, name: str, path: Path) -> None:
    ours = network.state_dict()
    differing = [key for key in {**saved, **ours} if _shape(saved, key) != _shape(ours, key)]
    if differing:
        first = differing[0]
        raise ValueError(
            f"{path} is from another network: {name} with {len(saved)} tensors, but this training has "
            f"{type(network).__name__} with {len(ours)}; {len(differing)} differ, such as {first} ("
            f"{_shape(saved, first)} there, {_shape(ours, first)} here): continue with the settings that it was "
            f"trained with, {ANEW}"
        )


def _shape(tensors: Mapping[str, Tensor], key: str) -> str:
    return " × ".join(map(str, tensors[key].shape)) or "one number" if key in tensors else "none"


def _shown(data: Mapping[str, Any]) -> str:
    return f"{data['items']} items of {data['name'] or 'a data set'} (list {data['sha256'][:8]})"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing more"


def _paths(value: Any) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [os.fspath(path) for path in values if isinstance(path, str | os.PathLike)]


def _below(path: str, folder: str) -> str:
    return PurePath(os.path.relpath(path, folder) if folder else path).as_posix()
