"""File names and files that are never half written."""

from __future__ import annotations

import os
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


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write UTF-8 text so that a reader sees the old file or the new one, never a part.

    Args:
        path: the file; its folder is made where it is missing.
        text: the whole content, with ``\n`` line ends.

    Raises:
        OSError: if the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    os.replace(partial, path)
