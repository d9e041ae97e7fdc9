"""Hashes of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

BLOCK = 1 << 20


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
