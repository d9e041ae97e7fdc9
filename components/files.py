"""File names and files that are never half written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def case_name(path: str | os.PathLike[str]) -> str:
    """Name of a case: the file name without its extension, a compressed one such as ``.nii.gz`` included.

    MONAI's ``SaveImaged`` names its outputs in the same way, so that predictions are found again by this name.

    Args:
        path: path of the image file.

    Example:
        >>> case_name("images/test/case0008.nii.gz")
        'case0008'
    """
    path = Path(path)
    return Path(path.stem).stem if path.suffix == ".gz" else path.stem


@contextmanager
def replacing(path: str | os.PathLike[str], shared: bool = False) -> Iterator[Path]:
    """Give a temporary name beside a file, which takes the file's place when all went well.

    A reader sees the old file or the new one, never a part, and an error leaves nothing behind.

    Args:
        path: the file to be; its folder is made where it is missing. The temporary name has the same ending.
        shared: whether other processes may write the same file at the same time: the temporary name is then this
            process's own, and what a killed process leaves of it stays.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "new" / "image.png"
        >>> with replacing(path) as partial:
        ...     size = partial.write_bytes(b"PNG")
        >>> [found.name for found in path.parent.iterdir()]
        ['image.png']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial.{os.getpid()}.{path.name}" if shared else f".partial.{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write UTF-8 text so that a reader sees the old file or the new one, never a part.

    Args:
        path: the file; its folder is made where it is missing.
        text: the whole content, with ``\n`` line ends.

    Raises:
        OSError: if the folder cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
