"""The state of a training on disk: the last one, and the one before it for the case that the last one is damaged."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch

from ..files import replacing

logger = logging.getLogger(__name__)


class StateFile:
    """``last.pt``, and ``last.previous.pt`` with the state before it.

    A state is on the disk as a whole before it takes the place of the last one, which takes that of the one before. So
    a crash, a power failure or a full disk leaves one whole state at least, once there was one.

    Args:
        folder: where both files are; made where it is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / "last.pt"
        self.previous = Path(folder) / "last.previous.pt"
        self._loaded: Path | None = None

    def exists(self) -> bool:
        """Whether there is anything to continue from."""
        return self.path.is_file() or self.previous.is_file()

    def load(self) -> dict[str, Any]:
        """Read the last state, or if it is damaged the one before, with a warning.

        Every byte is compared with the check sums in the file.

        Returns:
            The state, on the CPU.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if all there are are damaged.
        """
        damaged: list[str] = []
        for path in (self.path, self.previous):
            if not path.is_file():
                continue
            try:
                state = _read(path)
            except PermissionError:
                raise
            except Exception as error:  # whatever the bytes make of the reader: it cannot be read
                damaged.append(f"{path} ({type(error).__name__}: {' '.join(str(error).split())[:100]})")
                continue
            self._loaded = path
            if path == self.previous and idist.get_rank() == 0:
                reason = f"damaged: {damaged[0]}" if damaged else f"there is no {self.path}"
                logger.warning("%s; resuming from the state before it, %s", reason, path)
            return state
        if damaged:
            raise ValueError(
                f"damaged: {' and '.join(damaged)}: put back a copy of one, or start again without --resume true"
            )
        raise FileNotFoundError(f"nothing to resume: there is no {self.path}; start without --resume true")

    def save(self, state: dict[str, Any]) -> None:
        """Write a state beside the last one, then let it take its place.

        The last state is kept as the one before if it is of this training: if it was loaded or saved here.

        Raises:
            OSError: if it cannot be written; the files that there were are then as they were.
        """
        if self._loaded is None:  # of another training, which this one must not continue from
            self.previous.unlink(missing_ok=True)
        save(state, self.path, previous=self.previous.name if self._loaded == self.path else None)
        self._loaded = self.path


def save(content: dict[str, Any], path: Path, previous: str | None = None) -> None:
    """Write tensors and plain values so that a file of this name is always whole, after a power failure, too.

    Args:
        content: what to save.
        path: the file.
        previous: name that the old file is kept under, see :func:`components.files.replacing`.

    Raises:
        OSError: if it cannot be written.
    """
    with replacing(path, durable=True, previous=previous) as partial, _Watched(partial) as file:
        try:
            torch.save(content, file)
        except RuntimeError:
            if file.error is None:
                raise
            raise file.error from None  # PyTorch's own error does not say that the disk is full


class _Watched:
    """A file to write to, which remembers the error that PyTorch's writer of archives makes another one of."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self.file.flush()

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


def _read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:  # PyTorch's reader does not look at the check sums
            raise ValueError(f"the checksum of {name} in it is wrong")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not {"network", "optimizer", "epoch"} <= state.keys():
        raise ValueError("it does not hold the state of a training")
    return state
