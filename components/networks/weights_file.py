"""Reads the tensors of a weights file, and refuses damaged ones."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from torch import Tensor

from ..errors import one_line
from .published import read_checkpoint

SHOWN = 3
"""So many names stand in a message."""
HOLDERS = ("network", "model", "state_dict")
"""Where files hold the weights that hold more: ``last.pt``, MONAI's and others' checkpoints."""
FOLDER = 0x10
"""Mark of a folder in a zip: PyTorch reads nothing of what has it, and leaves a tensor as the memory was."""


def read_weights(path: str | PathLike[str], mapped: bool = False) -> dict[str, Tensor]:
    """The tensors of ``model.pt`` (weights), of ``last.pt`` (the state of a training) or of another checkpoint.

    Only tensors and plain values are read from the file.

    Args:
        path: the file, which exists.
        mapped: leave the tensors on the disk until they are used; they take no memory of their own.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        ValueError: if it is damaged or holds no weights.
    """
    path = Path(path)
    _check_sums(path)
    content = read_checkpoint(path, mapped)
    held = (
        content[name] for name in HOLDERS if isinstance(content, Mapping) and isinstance(content.get(name), Mapping)
    )
    state = next(held, content)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(
            f"{path} holds no weights: a dictionary of tensors is needed, such as the model.pt of a training"
        )
    return dict(state)


def check_finite(state: Mapping[str, Tensor], path: str | PathLike[str]) -> None:
    """Raise ValueError, with the first names, if weights that were read from ``path`` are NaN or infinite."""
    if broken := [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise ValueError(f"{path} has values that are NaN or infinite in {first_of(broken)}: it cannot be used")


def first_of(names: Iterable[str]) -> str:
    """The first names of a list, for a message.

    Example:
        >>> first_of(["a", "b", "c", "d"])
        'a, b, c, …'
    """
    names = list(names)
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def _check_sums(path: Path) -> None:
    """Compare the checksums in a file of ``torch.save``, which PyTorch does not."""
    try:
        if not zipfile.is_zipfile(path):  # read_checkpoint reports it
            return
        with zipfile.ZipFile(path) as archive:
            folders = (info.filename for info in archive.infolist() if info.external_attr & FOLDER)
            wrong = archive.testzip() or next(folders, None)
    except Exception as error:  # a damaged zip makes the module fail in many ways
        raise ValueError(f"{path} is damaged: {one_line(error)}; copy or download it again") from error
    if wrong is not None:
        raise ValueError(
            f"{path} is damaged: the content of {wrong} does not match its checksum; copy or download it again"
        )
