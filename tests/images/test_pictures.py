"""Pictures of the other formats: the values that were written, or one line that says what is wrong."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from components.images.endings import PICTURES
from components.images.exif import ORIENTATION, stored
from components.images.pictures import read_picture
from components.transforms import LoadWholeImaged
from scripts.data.reading import naming
from scripts.errors import UserError

RANDOM = np.random.default_rng(1)
GREY = RANDOM.integers(0, 256, (24, 40)).astype(np.uint8)
COLOURS = RANDOM.integers(0, 256, (24, 40, 3)).astype(np.uint8)
ALPHA = RANDOM.integers(0, 256, (24, 40)).astype(np.uint8)
DEEP = RANDOM.integers(0, 65536, (24, 40)).astype(np.uint16)
SMOOTH = np.dstack([np.add.outer(np.arange(24), np.arange(40)) * k for k in (1, 2, 3)]).astype(np.uint8)


def png(bits, colour, rows, interlaced=False, chunks=()):
    """A PNG by the book: bit depth, colour type, raw rows."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = rows.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    middle = b"".join(chunk(*entry) for entry in chunks)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + middle
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def saved(image, form, **settings):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **settings) if isinstance(image, np.ndarray) else image.save(
        buffer, form, **settings
    )
    return buffer.getvalue()


def bmp_from_the_top():
    row = COLOURS[..., ::-1].reshape(24, -1)
    head = struct.pack("<IiiHHIIiiII", 40, 40, -24, 1, 24, 0, row.size, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + row.size, 0, 0, 54) + head + row.tobytes()


READ = {
    "grey PNG": (lambda: saved(GREY, "PNG"), GREY),
    "16 bits": (lambda: png(16, 0, DEEP.astype(">u2")), DEEP),
    "16 bits of colours": (lambda: png(16, 2, np.dstack([DEEP] * 3).astype(">u2")), np.dstack([DEEP] * 3)),
    "16 bits and alpha": (lambda: png(16, 4, np.dstack([DEEP, DEEP.T.reshape(24, 40)]).astype(">u2")), DEEP),
    "16 bits, colours and alpha": (lambda: png(16, 6, np.dstack([DEEP] * 4).astype(">u2")), np.dstack([DEEP] * 3)),
    "alpha": (lambda: saved(np.dstack([COLOURS, ALPHA]), "PNG"), COLOURS),
    "grey and alpha": (lambda: saved(Image.merge("LA", [Image.fromarray(a) for a in (GREY, ALPHA)]), "PNG"), GREY),
    "a transparent colour": (lambda: png(8, 2, COLOURS, chunks=[(b"tRNS", bytes(6))]), COLOURS),
    "gamma": (lambda: png(8, 0, GREY, chunks=[(b"gAMA", struct.pack(">I", 100000))]), GREY),
    "black and white": (lambda: saved(Image.fromarray(GREY > 99), "PNG"), np.where(GREY > 99, 255, 0).astype(np.uint8)),
    "BMP": (lambda: saved(COLOURS, "BMP"), COLOURS),
    "BMP from the top": (bmp_from_the_top, COLOURS),
    "BMP with alpha": (lambda: saved(np.dstack([COLOURS, ALPHA]), "BMP"), COLOURS),
    "WebP": (lambda: saved(COLOURS, "WEBP", lossless=True), COLOURS),
    "JPEG 2000": (lambda: saved(COLOURS, "JPEG2000", irreversible=False), COLOURS),
    "JPEG 2000, 16 bits": (lambda: saved(DEEP, "JPEG2000", irreversible=False), DEEP),
    "GIF": (lambda: saved(GREY, "GIF"), np.dstack([GREY] * 3)),
    "PPM": (lambda: saved(COLOURS, "PPM"), COLOURS),
}


@pytest.mark.parametrize("kind", READ)
def test_values_are_those_that_were_written(kind, tmp_path):
    make, shown = READ[kind]
    if kind.startswith("16 bits") and kind != "16 bits":
        pytest.importorskip("imagecodecs")
    (tmp_path / "a").write_bytes(make())  # what it is, is seen from the content
    found = read_picture(tmp_path / "a").array
    assert found.dtype == shown.dtype
    np.testing.assert_array_equal(found, shown)


def test_interlaced_rows_and_a_palette(tmp_path):
    indices = (GREY % 7).astype(np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(np.arange(21, dtype=np.uint8).tobytes())
    image.save(tmp_path / "p.png")
    colours = np.arange(21, dtype=np.uint8).reshape(7, 3)
    np.testing.assert_array_equal(read_picture(tmp_path / "p.png").array, colours[indices])
    np.testing.assert_array_equal(read_picture(tmp_path / "p.png", numbers=True).array, indices)
    one = np.array([[7]], np.uint8)
    (tmp_path / "i.png").write_bytes(png(8, 0, one, interlaced=True))
    np.testing.assert_array_equal(read_picture(tmp_path / "i.png").array, one)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(mode, tmp_path):
    """CMYK is stored inverted by Adobe's programs, and by Pillow."""
    image = Image.fromarray(SMOOTH).convert(mode)
    image.save(tmp_path / "a.jpe", quality=100, subsampling=0)
    found = read_picture(tmp_path / "a.jpe").array
    expected = np.array(image.convert("RGB" if mode == "CMYK" else mode))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 2


def test_the_second_picture_of_a_camera_is_left_alone(tmp_path):
    first, second = Image.fromarray(SMOOTH), Image.fromarray(255 - SMOOTH)
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second], quality=95)
    assert Image.open(tmp_path / "a.jpg").n_frames == 2
    assert np.abs(read_picture(tmp_path / "a.jpg").array.astype(int) - SMOOTH).mean() < 5


def turned(path, orientation, array=COLOURS):
    """A picture with a tag that says how it is to be turned."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, array, photometric="rgb", extratags=[(ORIENTATION, "H", 1, orientation)])
        return
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    settings = {".jpg": {"quality": 100}, ".png": {}, ".webp": {"lossless": True}}[path.suffix]
    Image.fromarray(array).save(path, exif=exif, **settings)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(10))
def test_orientation_is_applied(orientation, ending, tmp_path):
    path = tmp_path / f"a{ending}"
    turned(path, orientation)
    with Image.open(path) as image:
        shown = np.array(ImageOps.exif_transpose(image))
        raw = shown if ending == ".tif" else np.array(image)
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.array, shown)
    assert picture.plain == (orientation not in range(2, 9))
    back = stored(picture.array, picture.orientation)
    np.testing.assert_array_equal(back, COLOURS if ending == ".tif" else raw)


@pytest.mark.parametrize("orientation", [1, 6])
def test_bundles_load_pictures_as_they_are_displayed(orientation, tmp_path):
    """So a mask that was drawn as displayed fits. MONAI has the width first."""
    turned(tmp_path / "a.tif", orientation)
    Image.fromarray(GREY).save(tmp_path / "b.png")
    load = LoadWholeImaged("image", reader="PILReader", converter=lambda image: image.convert("RGB"))
    shown = read_picture(tmp_path / "a.tif").array
    np.testing.assert_array_equal(load({"image": str(tmp_path / "a.tif")})["image"], shown.swapaxes(0, 1))
    label = LoadWholeImaged("image", reader="PILReader")({"image": str(tmp_path / "b.png")})["image"]
    np.testing.assert_array_equal(label, GREY.T)


def frames(form):
    second = Image.fromarray(255 - COLOURS)
    return lambda: saved(Image.fromarray(COLOURS), form, save_all=True, append_images=[second])


def twelve_bits():
    content = bytearray(saved(SMOOTH, "JPEG"))
    content[content.index(b"\xff\xc0") + 4] = 12  # the precision in the header of the frame
    return bytes(content)


REFUSED = {
    "a moving GIF": (frames("GIF"), "it holds 2 pictures (an animation), but one is needed"),
    "a moving PNG": (frames("PNG"), "it holds 2 pictures (an animation), but one is needed"),
    "a moving WebP": (frames("WEBP"), "it holds 2 pictures (an animation), but one is needed"),
    "JPEG of 12 bits": (twelve_bits, "it is a JPEG that cannot be decoded here (12 bits, lossless or damaged)"),
    "nothing": (lambda: b"", "cannot identify image file"),
    "text": (lambda: b"no picture", "cannot identify image file"),
    "half a JPEG": (lambda: saved(COLOURS, "JPEG")[:900], "truncated"),
    "half a PNG": (lambda: saved(COLOURS, "PNG")[:900], ""),
    "a checksum": (lambda: saved(COLOURS, "PNG").replace(b"IDAT", b"IDAT\1", 1), ""),
    "half a BMP": (lambda: saved(COLOURS, "BMP")[:900], "truncated"),
    "half a WebP": (lambda: saved(COLOURS, "WEBP", lossless=True)[:900], ""),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_used_is_told_in_one_line(kind, tmp_path):
    make, told = REFUSED[kind]
    (tmp_path / "a.png").write_bytes(make())
    with pytest.raises(UserError) as error, naming(tmp_path / "a.png"):
        read_picture(tmp_path / "a.png")
    assert told in str(error.value)
    assert str(tmp_path / "a.png") in str(error.value)
    assert "\n" not in str(error.value)


def test_every_ending_of_the_table_can_be_read(tmp_path):
    for ending in PICTURES:
        path = tmp_path / f"a{ending.upper()}"
        Image.fromarray(GREY).save(path, format="PPM" if ending == ".ppm" else None)
        assert read_picture(path).array.shape[:2] == GREY.shape, ending
