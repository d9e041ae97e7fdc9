"""Reading a weight file of any usual format, without running anything in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from components.networks import read_checkpoint

from ..errors import UserError
from .formats import Refused, sniff
from .pickles import analyse_file, printable

DEEPEST = 64
"""Containers within containers that are looked into."""


@dataclass(frozen=True)
class Contents:
    """What is in a weight file.

    Args:
        tensors: by their path in the file, such as ``state_dict._model.head.bias``.
        metadata: every other value by its path, as text.
        format: "torch zip", "legacy torch", "pickle" or "safetensors".
        whole: the checkpoint as it was read, for :func:`components.networks.load_published`.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    format: str
    whole: Any = field(repr=False)


def read(path: str | Path) -> Contents:
    """Read a weight file.

    Args:
        path: a file of ``torch.save``, of ``pickle.dump`` with plain values only, or a ``.safetensors`` file.

    Raises:
        Refused: if it is no such file, is damaged, or would run code.
        FileNotFoundError: if there is no such file.
    """
    path = Path(path)
    kind = sniff(path)
    whole = _safetensors(path) if kind == "safetensors" else _torch(path)
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    _collect(whole, tensors, metadata)
    return Contents(tensors, metadata, kind, whole)


def _torch(path: Path) -> Any:
    try:
        return read_checkpoint(path)
    except ValueError as error:
        words = analyse_file(path).words()
        if words.startswith("it would call"):
            raise Refused(f"{path} is dangerous: {words}; nothing in it was run, delete it") from error
        if words.startswith("it holds"):
            raise Refused(
                f"{path}: {words}; nothing in it was run. If you trust the file, save its state dict alone with "
                "torch.save where it was made"
            ) from error
        raise Refused(" ".join(str(error).split())) from error


def _safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise UserError(f"{path} is a safetensors file: install the package safetensors to read it") from error
    try:
        with safe_open(path, framework="pt") as file:
            notes = {"__metadata__": dict(file.metadata())} if file.metadata() else {}
            return {"state_dict": {name: file.get_tensor(name) for name in file.keys()}, **notes}  # noqa: SIM118
    except (SafetensorError, ValueError, KeyError) as error:
        raise Refused(f"{path} is a damaged safetensors file ({error}): download it again") from error


def _collect(whole: Any, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Sort what was read by kind.

    Containers are visited once each and without recursion: a file can nest them deeply, or in a circle.
    """
    waiting: list[tuple[str, Any, int]] = [("", whole, 0)]
    seen: set[int] = set()
    while waiting:
        name, value, depth = waiting.pop()
        name = printable(name, longest=1000)
        if isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(value, Mapping | list | tuple) and _worth_a_look(value) and depth < DEEPEST:
            if id(value) not in seen:
                seen.add(id(value))
                pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
                inside = [(f"{name}.{key}" if name else str(key), inner, depth + 1) for key, inner in pairs]
                waiting += reversed(inside)
        else:
            metadata[name] = _text(value)


def _worth_a_look(value: Mapping | list | tuple) -> bool:
    """Whether a container holds more than a list of numbers or a text would say."""
    inner = value.values() if isinstance(value, Mapping) else value
    return isinstance(value, Mapping) or any(isinstance(each, Tensor | Mapping | list | tuple) for each in inner)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple) and not _worth_a_look(value):
        shown = ", ".join(_text(each) for each in value[:8])
        return f"[{shown}, … {len(value)} values]" if len(value) > 8 else f"[{shown}]"
    if isinstance(value, str | int | float | bool | torch.dtype | torch.device | torch.Size) or value is None:
        return printable(str(value))
    return str(value) if type(value).__module__ == "numpy" else type(value).__name__
