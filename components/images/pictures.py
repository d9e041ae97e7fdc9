"""Pictures of any format, as they are displayed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .exif import ORIENTATION, displayed

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How TIFF and BigTIFF files begin."""
JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Picture:
    """A picture in memory.

    Args:
        array: H × W, or H × W × 3 for colours, without transparency, as displayed.
        orientation: how the file is turned, 1 to 8, see :func:`components.images.exif.stored`.
        plain: whether the file holds this array just so: one or three channels of 8 bits, not turned, without alpha.
    """

    array: np.ndarray
    orientation: int = 1
    plain: bool = False


def read_picture(path: str | Path, numbers: bool = False) -> Picture:
    """Read a picture to its end. Its orientation is applied, alpha is dropped; embedded previews do not count.

    Args:
        path: the file; what it is, is seen from its content, not from its ending.
        numbers: whether it is a label map: a palette then gives its numbers, and black and white are 0 and 1.

    Returns:
        The picture in the type of the file, colours of a palette as uint8.

    Raises:
        ValueError: if it holds several pictures, or channels or depths that cannot be used; the message says which.
        OSError, SyntaxError: if it is missing, no picture, or damaged.
        ImportError: if a library is missing for its kind.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError("it is a folder, but a picture is needed")
    with path.open("rb") as file:
        head = file.read(4)
    if head in TIFF:
        from .tiff import read_tiff

        return Picture(*read_tiff(path, numbers))
    try:
        check_picture(path)
        with Image.open(path) as image:
            return _read(path, image, numbers)
    except UnidentifiedImageError as error:
        if head.startswith(JPEG):
            raise ValueError(
                "it is a JPEG that cannot be decoded here (12 bits, lossless or damaged): save it as PNG or TIFF"
            ) from error
        raise


def is_png(path: str | Path) -> bool:
    """Whether a file is PNG by its content."""
    with open(path, "rb") as file:
        return file.read(8) == b"\x89PNG\r\n\x1a\n"


def check_picture(path: str | Path) -> None:
    """Compare the checksums that a PNG file has; other pictures have none.

    Raises:
        OSError, SyntaxError, ValueError: if the file is missing, no picture, or damaged.
    """
    with Image.open(path) as image:
        if image.format == "PNG":
            image.verify()


def _read(path: Path, image: Image.Image, numbers: bool) -> Picture:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's JPEG with a preview or a second view behind the picture
        raise ValueError(f"it holds {frames} pictures (an animation), but one is needed: save the one to be segmented")
    deep = image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(entry) for entry in image.tile)
    image.load()
    orientation = int(image.getexif().get(ORIENTATION, 1) or 1)
    array = _deep(path) if deep else _pixels(image, numbers)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    plain = image.mode in ("L", "RGB") and not deep and orientation not in range(2, 9)
    return Picture(displayed(array, orientation), orientation, plain)


def _pixels(image: Image.Image, numbers: bool) -> np.ndarray:
    mode = image.mode
    if mode == "1":
        return np.array(image).astype(np.uint8) * (1 if numbers else 255)
    if mode in ("L", "RGB", "I", "F") or mode.startswith("I;16") or (mode == "P" and numbers):
        return np.array(image)
    return np.array(image.convert("L" if mode in ("LA", "La") else "RGB"))


def _deep(path: Path) -> np.ndarray:
    """Colours of 16 bits, of which Pillow drops the lower half."""
    try:
        from imagecodecs import imread
    except ImportError as error:
        raise ImportError(
            "it has 16-bit colours, which need imagecodecs: pip install 'scanseg[formats]', or save it as TIFF"
        ) from error
    array = imread(path)
    return array[..., 0] if array.shape[2] == 2 else array[..., :3]
