"""Folders that are never half made, names that are free, and hashes of files."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError

BLOCK = 1 << 20
"""Bytes of a file that are in memory at once."""


def check_free(out: Path) -> None:
    """Raise UserError if a folder to be made is a file or holds files."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"{out} exists and is not empty: choose another folder with --out, or delete it")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``out`` when all went well and leaves nothing where not.

    Args:
        out: the folder to be; it may exist if it is empty.

    Raises:
        UserError: if ``out`` is a file or holds files.
    """
    check_free(out)
    out = out.resolve()
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.is_dir():
            out.rmdir()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def old_name(path: Path) -> Path:
    """A free name for a file or folder that makes room: ``NAME.old1``, ``NAME.old2`` and so on."""
    return next(p for n in itertools.count(1) if not (p := path.with_name(f"{path.name}.old{n}")).exists())


def hexdigest(path: Path, algorithm: str = "sha256") -> str:
    """Hash of a file as hexadecimal digits; the file is read in blocks.

    Args:
        path: the file.
        algorithm: a name that hashlib knows.
    """
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
