"""Reading a case, with a reason wherever it cannot be segmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import ImageReader, NibabelReader, PILReader
from PIL import Image

from components.images.checks import constant, differences, image_faults
from components.images.exif import stored
from components.images.grid import check_place
from components.images.intensities import rgb8
from components.images.reading import Content, read
from components.images.volumes import read_volume

from ..bundle.inference import InferenceBundle
from ..data.reading import naming
from ..errors import UserError
from . import dicom
from .cases import Case


@dataclass(frozen=True)
class Loaded:
    """An image in memory.

    Args:
        shape: extent of a label map: that of the volume, or height and width of the picture.
        reader: gives the image to MONAI's ``LoadImaged``.
        image: the volume with its affine and header; None for pictures.
        dicom: the series, for DICOM only.
        orientation: how a picture is turned in its file, by EXIF's numbers; maps of it are turned back.
    """

    shape: tuple[int, ...]
    reader: ImageReader
    image: nib.Nifti1Image | None = None
    dicom: dicom.Volume | None = None
    orientation: int = 1


class Given(NibabelReader):
    """A reader of MONAI that gives a volume which is in memory already.

    Args:
        image: the volume.
    """

    def __init__(self, image: nib.Nifti1Image) -> None:
        super().__init__()
        self.image = image

    def read(self, data: Sequence[str] | str, **kwargs: Any) -> nib.Nifti1Image:
        """The volume, whatever the file is called."""
        self.filenames = data
        return self.image


class GivenPicture(PILReader):
    """A reader of MONAI that gives a picture which is in memory already.

    Args:
        picture: the picture.
    """

    def __init__(self, picture: Image.Image) -> None:
        super().__init__()
        self.picture = picture

    def read(self, data: Sequence[str] | str, **kwargs: Any) -> Image.Image:
        """The picture, whatever the file is called."""
        return self.picture


def load_case(case: Case, bundle: InferenceBundle) -> Loaded:
    """Read an image that a bundle can segment.

    Args:
        case: what to read.
        bundle: says what it takes.

    Raises:
        UserError: if the image is missing, damaged, or not what the bundle takes.
    """
    if case.fault:
        raise UserError(case.fault)
    if (case.kind == "picture") != bundle.takes_pictures:
        kind = "a picture" if case.kind == "picture" else "a volume"
        raise UserError(f"{case.source} is {kind}, but {bundle.wanted}")
    with naming(Path(case.source)):
        return _load_picture(case.files[0]) if bundle.takes_pictures else _load_volume(case, bundle)


def _load_picture(path: Path) -> Loaded:
    content = read(path)
    _check(content, 3)
    stored_shape = stored(content.array, content.picture.orientation).shape[:2]
    reader = GivenPicture(Image.fromarray(rgb8(content.array)))
    return Loaded(stored_shape, reader, orientation=content.picture.orientation)


def _load_volume(case: Case, bundle: InferenceBundle) -> Loaded:
    series = dicom.read_series(case.files, bundle.takes["modality"], case.volume) if case.kind == "dicom" else None
    image = series.image if series else _joined(case.files)
    array = np.asanyarray(image.dataobj)
    if array.ndim != 3 and array.shape[3:] != (bundle.channels,):
        what = f": {array.shape[3]} channels or time points" if array.ndim == 4 else ""
        raise ValueError(f"it has shape {array.shape}{what}, but {bundle.wanted}")
    _check(Content(array, image.affine), bundle.channels)
    check_place(image.affine)
    return Loaded(array.shape[:3], Given(image), image, series)


def _joined(files: Sequence[Path]) -> nib.Nifti1Image:
    """A volume, with its channels along a fourth axis where they are files of their own."""
    image = read_volume(files[0])
    if len(files) == 1:
        return image
    first, arrays = Content(np.asanyarray(image.dataobj), image.affine), []
    for path in files:
        channel = read_volume(path)
        content = Content(np.asanyarray(channel.dataobj), channel.affine)
        if fault := next(differences(content, first, files[0].name), ""):
            raise ValueError(f"its channel {path.name} {fault}")
        arrays.append(content.array)
    return nib.Nifti1Image(np.stack(arrays, -1), image.affine, image.header, extra=image.extra)


def _check(content: Content, channels: int) -> None:
    """Raise ValueError if an image cannot be segmented."""
    if fault := next(image_faults(content, channels), "") or constant([content]):
        raise ValueError(f"it {fault}")
