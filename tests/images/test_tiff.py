"""TIFF files of every kind: the values that were written, or one line that says what is wrong."""

import importlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from components.images.pictures import read_picture

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (33, 21)).astype(np.uint8)
COLOURS = RANDOM.integers(0, 256, (33, 21, 3)).astype(np.uint8)
DEEP = RANDOM.integers(0, 65536, (33, 21, 3)).astype(np.uint16)
FLOAT = RANDOM.random((33, 21, 3)).astype(np.float32)
ALPHA = np.full((33, 21, 1), 128, np.uint8)
SMOOTH = np.dstack([np.add.outer(np.arange(48), np.arange(32)) * k // 2 + 20 for k in (1, 2, 3)]).astype(np.uint8)


def with_alpha(colours, alpha=ALPHA):
    return np.concatenate([colours, alpha.astype(colours.dtype)], axis=2)


READ = {
    "grey": (GREY, {}, GREY),
    "16 bits": (DEEP[..., 0], {}, DEEP[..., 0]),
    "32 bits": (DEEP[..., 0].astype(np.uint32) * 9, {}, DEEP[..., 0].astype(np.uint32) * 9),
    "signed": (DEEP[..., 0].astype(np.int16), {}, DEEP[..., 0].astype(np.int16)),
    "float16": (FLOAT[..., 0].astype(np.float16), {}, FLOAT[..., 0].astype(np.float16)),
    "float64": (FLOAT[..., 0].astype(np.float64), {}, FLOAT[..., 0].astype(np.float64)),
    "big-endian": (DEEP[..., 0], {"byteorder": ">"}, DEEP[..., 0]),
    "colours": (COLOURS, {"photometric": "rgb"}, COLOURS),
    "deep colours": (DEEP, {"photometric": "rgb"}, DEEP),
    "colours of floats": (FLOAT, {"photometric": "rgb"}, FLOAT),
    "three channels": (COLOURS, {"photometric": "minisblack", "planarconfig": "contig"}, COLOURS),
    "planes": (np.moveaxis(DEEP, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}, DEEP),
    "alpha": (with_alpha(COLOURS), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, COLOURS),
    "grey and alpha": (
        np.dstack([GREY, ALPHA]),
        {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]},
        GREY,
    ),
    "tiles": (COLOURS, {"photometric": "rgb", "tile": (16, 16)}, COLOURS),
    "deflate": (DEEP, {"photometric": "rgb", "compression": "zlib", "predictor": True}, DEEP),
    "LZW": (DEEP, {"photometric": "rgb", "compression": "lzw", "predictor": True}, DEEP),
    "packbits": (GREY, {"compression": "packbits"}, GREY),
    "zstd": (GREY, {"compression": "zstd"}, GREY),
    "JPEG 2000": (GREY, {"compression": "jpeg2000"}, GREY),
    "BigTIFF": (DEEP, {"photometric": "rgb", "bigtiff": True}, DEEP),
    "min-is-white": (GREY, {"photometric": "miniswhite"}, 255 - GREY),
    "min-is-white, 16 bits": (DEEP[..., 0], {"photometric": "miniswhite"}, 65535 - DEEP[..., 0]),
    "min-is-white, LZW": (GREY, {"photometric": "miniswhite", "compression": "lzw"}, 255 - GREY),
    "black and white": (GREY > 99, {"photometric": "minisblack"}, np.where(GREY > 99, 255, 0).astype(np.uint8)),
    "white and black": (GREY > 99, {"photometric": "miniswhite"}, np.where(GREY > 99, 0, 255).astype(np.uint8)),
    "12 bits": (DEEP[..., 0] >> 4, {"bitspersample": 12}, DEEP[..., 0] >> 4),
    "ImageJ": (DEEP[..., 0], {"imagej": True}, DEEP[..., 0]),
    "ImageJ, one slice": (DEEP[None, ..., 0], {"imagej": True, "metadata": {"axes": "ZYX"}}, DEEP[..., 0]),
    "OME": (DEEP[..., 0], {"ome": True, "metadata": {"axes": "YX"}}, DEEP[..., 0]),
    "OME, three channels": (np.moveaxis(DEEP, -1, 0), {"ome": True, "metadata": {"axes": "CYX"}}, DEEP),
}


@pytest.mark.parametrize("kind", READ)
def test_values_are_those_that_were_written(kind, tmp_path):
    stored, settings, shown = READ[kind]
    if settings.get("compression") in ("lzw", "zstd", "jpeg2000") or settings.get("bitspersample"):
        pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", stored, **settings)
    found = read_picture(tmp_path / "a.tif").array
    assert found.dtype == shown.dtype
    np.testing.assert_array_equal(found, shown)


def palette(path):
    table = RANDOM.integers(0, 256, (3, 256)).astype(np.uint16)
    tifffile.imwrite(path, GREY, photometric="palette", colormap=table * 257)


def cmyk(path):
    Image.fromarray(COLOURS).convert("CMYK").save(path, compression="raw")


def jpeg(path):
    tifffile.imwrite(path, SMOOTH, photometric="ycbcr", compression="jpeg", subsampling=(2, 2))


def ycbcr(path):
    stored = np.array(Image.fromarray(SMOOTH).convert("YCbCr"))
    tifffile.imwrite(path, stored, photometric="ycbcr", subsampling=(1, 1))


def premultiplied(path):
    alpha = RANDOM.integers(0, 256, (33, 21, 1))
    colours = np.rint(COLOURS * (alpha / 255)).astype(np.uint8)
    tifffile.imwrite(path, with_alpha(colours, alpha), photometric="rgb", extrasamples=["assocalpha"])


def fax(path):
    Image.fromarray(GREY).convert("1").save(path, compression="group4")


def previewed(path):
    with tifffile.TiffWriter(path) as file:
        file.write(COLOURS, photometric="rgb", metadata=None)
        file.write(COLOURS[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)


def pyramid(path):
    with tifffile.TiffWriter(path) as file:
        file.write(COLOURS, photometric="rgb", subifds=1, tile=(16, 16))
        file.write(COLOURS[::2, ::2], photometric="rgb", subfiletype=1, tile=(16, 16))


@pytest.mark.parametrize("make", [palette, cmyk, jpeg, ycbcr, premultiplied, fax, previewed, pyramid])
def test_colours_are_those_of_pillow(make, tmp_path):
    """Pillow decodes all of these by itself, with libtiff."""
    if make is jpeg:
        pytest.importorskip("imagecodecs")
    make(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        shown = np.array(image.convert("L" if image.mode == "1" else "RGB"))
    found = read_picture(tmp_path / "a.tif").array
    assert found.shape == shown.shape
    # Two programs may round a product, or the inverse of a transform, in other ways.
    assert np.abs(found.astype(int) - shown).max() <= (2 if make is jpeg else 1 if make in (cmyk, ycbcr) else 0)


@pytest.mark.parametrize("make", [fax, jpeg, premultiplied, palette])
def test_eight_bits_need_no_further_codecs(make, tmp_path, monkeypatch):
    make(tmp_path / "a.tif")
    expected = read_picture(tmp_path / "a.tif").array
    monkeypatch.setattr("tifffile.tifffile.imagecodecs", importlib.import_module("tifffile._imagecodecs"))
    monkeypatch.setitem(tifffile.TIFF.__dict__, "DECOMPRESSORS", type(tifffile.TIFF.DECOMPRESSORS)(encode=False))
    found = read_picture(tmp_path / "a.tif").array
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_numbers_of_label_maps(tmp_path):
    numbers = (GREY % 5).astype(np.uint8)
    tifffile.imwrite(tmp_path / "p.tif", numbers, photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    tifffile.imwrite(tmp_path / "b.tif", numbers > 2, photometric="minisblack")
    np.testing.assert_array_equal(read_picture(tmp_path / "p.tif", numbers=True).array, numbers)
    np.testing.assert_array_equal(read_picture(tmp_path / "b.tif", numbers=True).array, numbers > 2)
    for turned in (numbers, numbers > 2):  # programs do not agree whether the numbers are those stored or those shown
        tifffile.imwrite(tmp_path / "w.tif", turned, photometric="miniswhite")
        with pytest.raises(ValueError, match="min-is-white, so its labels may be inverted"):
            read_picture(tmp_path / "w.tif", numbers=True)


FOUR = np.concatenate([DEEP, DEEP[..., :1]], axis=2)
REFUSED = {
    "two channels": (DEEP[..., :2], {"photometric": "minisblack", "planarconfig": "contig"}, "2 channels (uint16)"),
    "five channels": (
        np.dstack([COLOURS, COLOURS[..., :2]]),
        {"photometric": "minisblack", "planarconfig": "contig"},
        "5 channels (uint8)",
    ),
    "one more": (FOUR, {"photometric": "rgb", "extrasamples": ["unspecified"]}, "4 channels (uint16, 1 beyond RGB"),
    "channels in pages": (np.stack([GREY, GREY]), {"imagej": True, "metadata": {"axes": "CYX"}}, "2 channels (uint8)"),
    "a stack": (np.stack([GREY] * 4), {"photometric": "minisblack"}, "4 pages (4 × 33 × 21)"),
    "ImageJ's slices": (np.stack([GREY] * 4), {"imagej": True, "metadata": {"axes": "ZYX"}}, "4 pages"),
    "time and slices": (np.zeros((2, 3, 9, 9), np.uint8), {"ome": True, "metadata": {"axes": "TZYX"}}, "6 pages"),
    "pages of two sizes": (None, {}, "2 pages (33 × 21, 8 × 8)"),
    "Lab": (COLOURS.astype(np.uint8), {"photometric": "cielab"}, "its colours are CIELAB"),
    "min-is-white of floats": (FLOAT[..., 0], {"photometric": "miniswhite"}, "no defined white"),
    "complex numbers": (FLOAT[..., 0].astype(np.complex64), {}, "are not of a known number type"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_used_is_named(kind, tmp_path):
    stored, settings, told = REFUSED[kind]
    if stored is None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for page in (GREY, GREY[:8, :8]):
                file.write(page, metadata=None)
    else:
        tifffile.imwrite(tmp_path / "a.tif", stored, **settings)
    with pytest.raises(ValueError, match=r".") as error:
        read_picture(tmp_path / "a.tif")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("kept", [0.6, 0.05])
def test_a_file_that_is_cut_off_is_refused(compression, kept, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP, photometric="rgb", compression=compression, rowsperstrip=4)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises((ValueError, OSError, RuntimeError, EOFError, SyntaxError)):
        read_picture(path)
