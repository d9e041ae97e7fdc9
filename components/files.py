"""File names and files that are never half written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .images.endings import ending_of

REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or ask for a larger quota",
    errno.EFBIG: "the file system takes no file of this size",
    errno.EROFS: "it is read-only",
    errno.EACCES: "this account may not write there",
    errno.EPERM: "this account may not write there",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EEXIST: "a part of the path is a file",
}
"""What to do about errors of the file system, beside naming another folder."""


def case_name(path: str | os.PathLike[str]) -> str:
    """Name of a case: the file name without its ending in any case, a compressed one such as ``.nii.gz`` included.

    MONAI's ``SaveImaged`` names its outputs in the same way, so that predictions are found again by this name.

    Args:
        path: path of the image file.

    Example:
        >>> case_name("images/test/case0008.nii.gz")
        'case0008'
    """
    path = Path(path)
    if ending := ending_of(path):
        return path.name[: -len(ending)]
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem


@contextmanager
def replacing(
    path: str | os.PathLike[str], shared: bool = False, durable: bool = False, previous: str | None = None
) -> Iterator[Path]:
    """Give a temporary name beside a file, which takes the file's place when all went well.

    A reader sees the old file or the new one, never a part, and an error leaves nothing behind.

    Args:
        path: the file to be; its folder is made where it is missing. The temporary name has the same ending.
        shared: whether other processes may write the same file at the same time: the temporary name is then this
            process's own, and what a killed process leaves of it stays.
        durable: whether the old file or the new one must be there after a power failure, too: the new one is on the
            disk before it takes its place.
        previous: another name in the same folder, that the old file is then found under. No moment is without a whole
            file, and nothing is copied, where the file system has hard links; elsewhere the old file may for a moment
            have this name only.

    Raises:
        OSError: if the file cannot be written; the message says where, why, and what to do.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "new" / "image.png"
        >>> for text in ("old", "new"):
        ...     with replacing(path, previous="before.png") as partial:
        ...         size = partial.write_text(text)
        >>> sorted((found.name, found.read_text()) for found in path.parent.iterdir())
        [('before.png', 'old'), ('image.png', 'new')]
    """
    path = Path(path)
    partial = path.with_name(f".partial.{os.getpid()}.{path.name}") if shared else partial_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if durable:
            _sync(partial, os.O_RDWR)
        if previous is not None and path.is_file():
            _name(path, path.with_name(previous))
        os.replace(partial, path)
        if durable:
            _sync(path.parent, os.O_RDONLY)
    except OSError as error:
        ours = error.filename is None or str(error.filename) in map(str, (partial, path, *path.parents))
        if ours and error.errno in REMEDIES and error.strerror is not None:  # else it is explained already
            _remove(partial)
            raise explained(error, path) from None
        raise
    finally:
        _remove(partial)


def partial_of(path: Path) -> Path:
    """Temporary name of a file that is written, which stays where the process was killed meanwhile."""
    return path.with_name(f".partial.{path.name}")


def explained(error: OSError, path: Path) -> OSError:
    """An error of writing a file, of the same type, as one line: where, why, how much room there is, what to do.

    Args:
        error: the error.
        path: the file that was to be written.
    """
    there = next((folder for folder in path.absolute().parents if folder.is_dir()), Path("/"))
    reason = (error.strerror or str(error)).lower()
    remedy = REMEDIES.get(error.errno, "look after the disk")
    told = type(error)(
        f"{path} cannot be written: {reason}, {shutil.disk_usage(there).free:,} bytes are free in {there}; "
        f"{remedy}, or name another folder"
    )
    told.errno = error.errno
    return told


def _name(path: Path, other: Path) -> None:
    """Let a file be found under another name, too."""
    linked = partial_of(other)
    linked.unlink(missing_ok=True)
    try:
        os.link(path, linked)
    except OSError:
        os.replace(path, other)
        return
    os.replace(linked, other)
    linked.unlink(missing_ok=True)  # where both were the same file already, nothing was renamed


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _sync(path: Path, mode: int) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows has no such thing for folders
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str, durable: bool = False) -> None:
    r"""Write UTF-8 text so that a reader sees the old file or the new one, never a part.

    Args:
        path: the file; its folder is made where it is missing.
        text: the whole content, with ``\n`` line ends.
        durable: whether it must outlive a power failure, see :func:`replacing`.

    Raises:
        OSError: if the folder cannot be written.
    """
    with replacing(path, durable=durable) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        ValueError: if it is not JSON.
        FileNotFoundError: if there is no such file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ValueError(f"{path} is not valid JSON: {error}") from error
