"""Prepared cases on disk, for data sets that do not fit into memory."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import torch
from monai.utils import convert_to_tensor

from ..files import replacing

logger = logging.getLogger(__name__)


class PreparedCases:
    """Keeps what the deterministic transforms make of each case in a folder, one file a case.

    A file is found again only while the case's files (path, size, time of change) and the transforms with all their
    settings are the same, so that a change of either prepares anew instead of training on what was. Files are renamed
    into place when they are whole; an unreadable one is made again.

    MONAI's ``PersistentDataset`` tells transforms apart by ``pickle_hashing`` where it is asked to. That fails for
    transforms with a lambda, as the readers of pictures have, and an item counts there by the names of its files only,
    so that a changed image would not be noticed.

    Args:
        cache_dir: the folder; made where it is missing. It takes the images at the size and in the type that the
            transforms give.
        transforms: the deterministic transforms.

    Raises:
        OSError: from :meth:`get`, where the folder cannot be written.
    """

    def __init__(self, cache_dir: str, transforms: Any) -> None:
        self.folder = Path(cache_dir)
        self.fingerprint = _digest(transforms)

    def get(self, case: Mapping[str, Any], prepare: Callable[[], Any]) -> Any:
        """Read a prepared case, or prepare and keep it.

        Args:
            case: the item of the data list.
            prepare: makes the prepared item.

        Returns:
            The prepared item, with plain tensors for arrays and MetaTensors, the same whether it was read or made.
        """
        path = self.folder / f"{_digest(self.fingerprint, dict(case))}.pt"
        if path.is_file():
            try:
                return torch.load(path, weights_only=True)
            except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
                logger.warning("%s cannot be read (%s): it is recomputed", path, type(error).__name__)
        item = convert_to_tensor(prepare(), track_meta=False, convert_numeric=False)
        with replacing(path, shared=True) as partial:
            torch.save(item, partial)
        return item


def _digest(*values: Any) -> str:
    digest = hashlib.sha256()
    for part in _parts(values, set()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:32]


def _parts(value: Any, seen: set[int]) -> Iterator[str]:
    """What distinguishes settings, down to numbers, strings, arrays, the code of functions and files."""
    if isinstance(value, str) and Path(value).is_absolute() and Path(value).is_file():
        state = Path(value).stat()
        yield f"file {value} {state.st_size} {state.st_mtime_ns}"
    elif value is None or isinstance(value, bool | int | float | str | bytes | torch.dtype | torch.device | type):
        yield repr(value)
    elif isinstance(value, np.ndarray | torch.Tensor):
        array = np.asarray(value)
        yield f"array {array.dtype} {array.shape} {hashlib.sha256(np.ascontiguousarray(array)).hexdigest()}"
    elif isinstance(value, np.random.RandomState):
        yield "random"  # its state changes with every draw, and deterministic transforms draw nothing
    elif id(value) in seen:
        yield "again"
    else:
        seen.add(id(value))
        yield f"{type(value).__module__}.{type(value).__qualname__}"
        for part in _children(value):
            yield from _parts(part, seen)


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from (str(key), value[key])
    elif isinstance(value, list | tuple):
        yield from value
    elif isinstance(value, set | frozenset):
        yield from sorted(value, key=str)
    elif isinstance(value, FunctionType):
        yield from (value.__qualname__, value.__code__, value.__defaults__)
        yield from (cell.cell_contents for cell in value.__closure__ or ())
    elif isinstance(value, CodeType):
        yield from (value.co_code, value.co_names, value.co_consts)
    elif hasattr(value, "__dict__"):
        yield vars(value)
    else:
        yield str(value)
