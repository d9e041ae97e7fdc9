"""Pictures: PNG, JPEG, TIFF and others."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def check_picture(path: str | Path) -> None:
    """Compare the checksums that a PNG file has; other pictures have none.

    Raises:
        OSError, SyntaxError, ValueError: if the file is missing, no picture, or damaged.
    """
    with Image.open(path) as image:
        image.verify()
