"""Load the authors' checkpoints into our networks, with proof that every tensor found its place."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_HOLDERS = ("state_dict", "model", "network_weights")  # Lightning, VMamba, nnU-Net
_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod|_model)\.)+")  # DistributedDataParallel, torch.compile, MSVM-UNet

# nnU-Net keeps its scores as NumPy scalars. These globals build numbers and nothing else.
_NUMPY_SCALARS = [
    (np.core.multiarray.scalar if np.lib.NumpyVersion(np.__version__) < "2.0.0" else np._core.multiarray.scalar, name)
    for name in ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
]
_NUMPY_DTYPES = [np.dtype, *(type(np.dtype(kind)) for kind in ("float32", "float64", "int32", "int64", "bool"))]


def read_checkpoint(path: str | PathLike[str], mapped: bool = False) -> dict[str, Any]:
    """Read a checkpoint file of tensors, numbers, strings and containers; no code in it is ever executed.

    Args:
        path: a file written by ``torch.save``.
        mapped: leave the tensors on the disk until they are used; they take no memory of their own.

    Returns:
        What the file holds, on the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or holds an object of a type that is not known to be safe.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: give the path of a downloaded .pth, .ckpt or .pt file")
    try:
        with torch.serialization.safe_globals([*_NUMPY_SCALARS, *_NUMPY_DTYPES]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipfile.is_zipfile(path))
    except OSError:
        raise
    except Exception as error:  # PyTorch's own words advise to execute what is in the file
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            reason = (
                f"it holds {refused[1]}, but only tensors and plain values are read; "
                "if you trust the file, save its state dict alone with torch.save where it was made"
            )
        else:
            reason = f"it is damaged, or no file of torch.save ({path.stat().st_size} bytes): download it again"
        raise ValueError(f"cannot read the checkpoint {path}: {reason}") from error


def load_published(
    network: nn.Module, checkpoint: Mapping[str, Any] | str | PathLike[str], part: str | None = None
) -> dict[str, str]:
    """Load a published checkpoint in place; nothing is changed unless everything fits.

    Args:
        network: MSVMUNet or XLSTMUNet; its ``published_names`` say which published name means which of its own.
        checkpoint: the published state dict, the dictionary that holds it under ``state_dict``, ``model`` or
            ``network_weights``, or the path of a file with either.
        part: fill only this child, from a checkpoint of it alone: "encoder" for a VMamba ImageNet checkpoint.

    Returns:
        Our name for each published name that was used.

    Raises:
        FileNotFoundError: if ``checkpoint`` is a path without a file.
        ValueError: if published tensors are left over, if parameters are left unset, if shapes differ or if two
            published names of one tensor disagree; the message names all of them.
    """
    if isinstance(checkpoint, str | PathLike):
        checkpoint = read_checkpoint(checkpoint)
    if part is not None and not hasattr(network, part):
        raise ValueError(f"{type(network).__name__} has no part '{part}' to load into")
    state = _state_dict(checkpoint)
    target = {name: tensor for name, tensor in network.state_dict().items() if part is None or _inside(name, part)}

    filled: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    problems: dict[str, list[str]] = {"left over": [], "of another shape": [], "in disagreement": []}
    for published, tensor in state.items():
        name = _our_name(network, published, part)
        if name is None:
            continue
        if name not in target:
            problems["left over"].append(published)
        elif not _same_shape(tensor, target[name]):
            shapes = f"{tuple(tensor.shape)}, needed {tuple(target[name].shape)}"
            problems["of another shape"].append(f"{published} {shapes}")
        elif name in filled and not torch.equal(filled[name], tensor.reshape(target[name].shape)):
            problems["in disagreement"].append(f"{published} and {origin[name]}")
        else:
            filled[name] = tensor.reshape(target[name].shape)
            origin.setdefault(name, published)
    _raise_for(problems, unset=[name for name in target if name not in filled], network=network)

    network.load_state_dict(filled, strict=part is None)
    return {published: name for name, published in origin.items()}


def _state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    if not isinstance(checkpoint, Mapping):
        raise ValueError(
            f"a checkpoint is a dictionary with a state dict, but this is of type {type(checkpoint).__name__}"
        )
    for holder in _HOLDERS:
        if isinstance(checkpoint.get(holder), Mapping):
            checkpoint = checkpoint[holder]
            break
    odd = [name for name, value in checkpoint.items() if not isinstance(value, Tensor)]
    if odd or not checkpoint:
        raise ValueError(
            f"this is not a state dict: {', '.join(map(str, odd[:5])) or 'it'} holds no tensor; give a state dict, or "
            f"a dictionary that holds one under {', '.join(_HOLDERS)}"
        )
    return dict(checkpoint)


def _inside(name: str, part: str) -> bool:
    return name.startswith(f"{part}.")


def _our_name(network: nn.Module, published: str, part: str | None) -> str | None:
    name = _WRAPPERS.sub("", published)
    if part is not None and not _inside(name, part):
        name = f"{part}.{name}"
    for pattern, replacement in network.published_names:
        if replacement is None:
            if re.search(pattern, name):
                return None
        else:
            name = re.sub(pattern, replacement, name)
    return name


def _same_shape(tensor: Tensor, needed: Tensor) -> bool:
    """Whether shapes agree but for trailing ones: a Linear2d may come as a matrix or as a 1 × 1 kernel."""
    if tensor.ndim < 2 or needed.ndim < 2:
        return tensor.shape == needed.shape
    longest = max(tensor.ndim, needed.ndim)
    padded = [(*t.shape, *[1] * (longest - t.ndim)) for t in (tensor, needed)]
    return padded[0] == padded[1]


def _raise_for(problems: dict[str, list[str]], unset: list[str], network: nn.Module) -> None:
    found = [f"published tensors {kind}: {', '.join(names)}" for kind, names in problems.items() if names]
    if unset:
        found.append(f"parameters of {type(network).__name__} left unset: {', '.join(unset)}")
    if found:
        raise ValueError(f"the checkpoint does not fit this network: {'; '.join(found)}")
