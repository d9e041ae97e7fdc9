"""TIFF: the many ways in which it holds one picture of one or three channels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from .exif import ORIENTATION, displayed

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

WHITE, BLACK, RGB, PALETTE, MASK, CMYK, YCBCR = range(7)
"""Photometric interpretations of TIFF 6.0."""
COLOURS = {RGB: 3, CMYK: 4, YCBCR: 3}
"""Samples that a photometric interpretation needs; all others need one."""
PREMULTIPLIED, ALPHA = 1, 2
"""Kinds of extra samples that are transparency."""
JPEGS = (6, 7, 34892)
"""Compressions that are decoded to RGB."""
INKS = 332


def read_tiff(path: Path, numbers: bool = False) -> tuple[np.ndarray, int, bool]:
    """The picture of a TIFF file, with the arguments of :func:`components.images.pictures.read_picture`.

    Extra samples that are declared as alpha are dropped, and colours that were multiplied by it are divided again.
    Min-is-white is turned to min-is-black at every depth.

    Returns:
        The array, H × W or H × W × 3, as displayed; the orientation; whether the file holds just this array.

    Raises:
        ValueError: if it holds several pictures, other channels, or values that cannot be used.
        ImportError: if a library is missing for its compression.
    """
    tifffile = tifffile_library()
    with quiet(), tifffile.TiffFile(path) as file:
        page = file.pages.first
        _check_size(page)
        several = _check_single(file)
        kept, premultiplied = _channels(page, several)
        orientation = int(getattr(page.tags.get(ORIENTATION), "value", 1) or 1)
        try:
            array = _samples(file, page, several)
        except (ValueError, ImportError, AttributeError, KeyError) as error:
            if "imagecodecs" not in str(error):
                raise
            return _by_pillow(path, page, numbers, kept), orientation, False
        colours = _plain_colours(array, page, kept, premultiplied, numbers)
    plain = (
        array.dtype == np.uint8 and page.bitspersample == 8 and array.shape[2] in (1, 3)
        and page.photometric in (BLACK, RGB) and orientation not in range(2, 9)
    )  # fmt: skip
    return displayed(colours, orientation), orientation, plain


def _check_single(file: TiffFile) -> bool:
    """Raise ValueError unless there is one picture; say whether its channels are in pages of their own."""
    page = file.pages.first
    if len(file.pages) == 1:
        if page.imagedepth > 1:
            raise ValueError(f"it is a volume of {page.imagedepth} slices, but one picture is needed: split it")
        return False
    series = [s for s in file.series if not (s.keyframe.is_reduced or s.keyframe.is_mask)]
    axes, shape = (series[0].axes, series[0].shape) if series else ("", ())
    if len(series) > 1:
        sizes = ", ".join(f"{s.shape[s.axes.index('Y')]} × {s.shape[s.axes.index('X')]}" for s in series[:3])
        raise ValueError(f"it has {len(series)} pages ({sizes}), but one picture is needed: split it")
    if axes in ("YX", "YXS", "SYX"):
        return False
    if axes == "CYX":
        return True
    count = int(np.prod([size for axis, size in zip(axes, shape, strict=True) if axis not in "YXS"]))
    raise ValueError(
        f"it has {count} pages ({' × '.join(map(str, shape))}), but one picture is needed: save each as a file, "
        'or, if it is a volume, put CASE.json with {"spacing": [z, y, x]} beside it'
    )


def _channels(page: TiffPage, several: bool) -> tuple[list[int], int | None]:
    """Which samples are no transparency, and the place of an alpha that the others are multiplied by."""
    photometric = int(page.photometric)
    count = page.samplesperpixel
    if several:
        return [], None  # each page is a channel
    if photometric not in (WHITE, BLACK, RGB, PALETTE, CMYK, YCBCR):
        raise ValueError(f"its colours are {_name(page.photometric)}, which is not supported: save it as RGB")
    if page.dtype is None or page.dtype.kind not in "biuf":
        raise ValueError(f"its samples of {page.bitspersample} bits are not of a known number type: save it again")
    base = COLOURS.get(photometric, 1)
    extra = [*map(int, page.extrasamples), *[0] * count][: max(count - base, 0)]
    alpha = [base + place for place, kind in enumerate(extra) if kind in (PREMULTIPLIED, ALPHA)]
    kept = [place for place in range(count) if place not in alpha]
    _check_count(len(kept), page, base)
    return kept, next((place for place in alpha if extra[place - base] == PREMULTIPLIED), None)


def _check_count(count: int, page: TiffPage, base: int = 1) -> None:
    if count == base or (base == 1 and count == 3 and int(page.photometric) in (WHITE, BLACK)):
        return
    more = "" if base == 1 else f", {count - base} beyond {_name(page.photometric)} and not declared as alpha"
    raise ValueError(
        f"it has {count} channels ({page.dtype}{more}), but a picture of 1 or 3 channels is needed: save those to be "
        "segmented as a file of their own"
    )


def _samples(file: TiffFile, page: TiffPage, several: bool) -> np.ndarray:
    """H × W × samples."""
    if several:
        array = file.series[0].asarray()
        _check_count(len(array), page)
        return np.moveaxis(array, 0, -1)
    array, axes = page.asarray(), page.axes
    if axes == "SYX":
        array = np.moveaxis(array, 0, -1)
    elif axes not in ("YX", "YXS"):
        raise ValueError(f"it has the axes {axes} ({' × '.join(map(str, array.shape))}), but one picture is needed")
    return array if array.ndim == 3 else array[..., None]


def _plain_colours(
    array: np.ndarray, page: TiffPage, kept: list[int], premultiplied: int | None, numbers: bool
) -> np.ndarray:
    photometric = int(page.photometric)
    most = (1 << page.bitspersample) - 1
    if photometric == PALETTE:
        return array[..., 0] if numbers else _looked_up(array[..., 0], page)
    alpha = None if premultiplied is None else array[..., premultiplied]
    colours = array[..., kept] if kept else array
    if alpha is not None:
        colours = _divided(colours, alpha, most)
    if photometric == WHITE:
        colours = _inverted(colours, most, numbers)
    elif photometric == CMYK:
        colours = _without_black(colours, page, most)
    elif photometric == YCBCR and int(page.compression) not in JPEGS:
        if colours.dtype != np.uint8:
            raise ValueError(f"its colours are YCbCr of type {colours.dtype}, which is not supported: save it as RGB")
        colours = np.array(Image.fromarray(np.ascontiguousarray(colours), "YCbCr").convert("RGB"))
    if page.bitspersample == 1:
        colours = colours.astype(np.uint8) * (1 if numbers else 255)
    elif page.dtype.kind == "u" and page.bitspersample < 8 and not numbers:
        colours = (colours * (255 // most)).astype(np.uint8)  # 2 or 4 bits, as every viewer shows them
    return colours[..., 0] if colours.shape[2] == 1 else colours


def _looked_up(indices: np.ndarray, page: TiffPage) -> np.ndarray:
    table = np.asarray(page.colormap)
    if table.max(initial=0) > 255:  # some programs write 8 bits where 16 are meant
        table = table >> 8
    return np.ascontiguousarray(np.moveaxis(table.astype(np.uint8)[:, indices], 0, -1))


def _divided(colours: np.ndarray, alpha: np.ndarray, most: int) -> np.ndarray:
    whole = 1.0 if colours.dtype.kind == "f" else float(most)
    shown = np.where(alpha[..., None] > 0, colours * whole / np.maximum(alpha[..., None], 1e-12), 0)
    if colours.dtype.kind == "f":
        return shown.astype(colours.dtype)
    return np.clip(np.floor(shown + 1e-9), 0, most).astype(colours.dtype)


def _inverted(colours: np.ndarray, most: int, numbers: bool) -> np.ndarray:
    if colours.dtype.kind not in "bu":
        raise ValueError(f"it is min-is-white of type {colours.dtype}, with no defined white: save it as min-is-black")
    if numbers:
        raise ValueError("it is min-is-white, so its labels may be inverted: save them as min-is-black")
    return ~colours if colours.dtype.kind == "b" else (most - colours).astype(colours.dtype)


def _without_black(colours: np.ndarray, page: TiffPage, most: int) -> np.ndarray:
    if int(getattr(page.tags.get(INKS), "value", 1)) != 1:
        raise ValueError("its colours are inks other than CMYK, which is not supported: save it as RGB")
    if colours.dtype.kind != "u":
        raise ValueError(f"its colours are CMYK of type {colours.dtype}, which is not supported: save it as RGB")
    light = most - colours.astype(np.float64)
    return np.rint(light[..., :3] * light[..., 3:] / most).astype(colours.dtype)


def _by_pillow(path: Path, page: TiffPage, numbers: bool, kept: list[int]) -> np.ndarray:
    """What tifffile decodes with imagecodecs only, where Pillow can decode it without loss; as displayed."""
    deep = page.bitspersample > 8 or page.dtype.kind == "f"
    if deep or not kept or page.samplesperpixel > len(kept) or (len(kept) == 3 and int(page.photometric) == BLACK):
        raise ImportError(
            f"its compression ({_name(page.compression)}) needs imagecodecs: pip install 'scanseg[formats]', or save "
            "it without compression"
        )
    if int(page.photometric) == WHITE and numbers:
        _inverted(np.zeros(0, np.uint8), 255, numbers)
    with Image.open(path) as image:
        image.load()
        image = ImageOps.exif_transpose(image)  # newer versions have turned it already, and leave nothing to do
        if image.mode == "1":
            return np.array(image).astype(np.uint8) * (1 if numbers else 255)
        if image.mode == "L" or (image.mode == "P" and numbers):
            return np.array(image)
        return np.array(image.convert("RGB"))


def _check_size(page: TiffPage) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and page.imagewidth * page.imagelength > 2 * limit:
        raise ValueError(
            f"it has {page.imagelength} × {page.imagewidth} pixels by its header, more than {2 * limit:,}: cut it into "
            "tiles"
        )


def _name(value: object) -> str:
    return getattr(value, "name", str(value))


@contextmanager
def quiet() -> Iterator[None]:
    """Without what tifffile logs about odd files: it is an error of ours, or nothing."""
    logger = logging.getLogger("tifffile")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def tifffile_library() -> ModuleType:
    """The library tifffile.

    Raises:
        ImportError: if it is missing.
    """
    try:
        import tifffile
    except ImportError as error:
        raise ImportError("it is a TIFF, which needs tifffile: pip install tifffile") from error
    return tifffile
