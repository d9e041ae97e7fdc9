"""Loading that notices damage, and names the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor, NibabelReader, PILReader
from monai.transforms import LoadImage, LoadImaged
from monai.utils import ImageMetaKey, ensure_tuple
from PIL import Image

from ..errors import one_line
from ..images.endings import ending_of, is_volume
from ..images.intensities import rgb8
from ..images.pictures import read_picture
from ..images.volumes import read_volume

HINT = "replace or leave out the file; `scanseg data check DATASET_DIR` looks for all faults of a data set"
NO_READER = "there is no reader here for this kind of file: convert it to NIfTI, or use `scanseg predict`"


class WholeNibabelReader(NibabelReader):
    """MONAI's reader of NIfTI for volumes of any format, read by :func:`~components.images.volumes.read_volume`."""

    def verify_suffix(self, filename: Sequence[str] | str) -> bool:
        """Whether all files are volumes by their endings, in any case."""
        return all(map(is_volume, ensure_tuple(filename)))

    def read(self, data: Sequence[str] | str, **kwargs: Any) -> Any:
        """Read one file, or several, to be stacked as channels."""
        self.filenames = ensure_tuple(data)
        images = [read_volume(name) for name in self.filenames]
        return images if len(images) > 1 else images[0]


class WholePILReader(PILReader):
    """MONAI's reader of pictures, read by :func:`~components.images.pictures.read_picture`: as they are displayed.

    With a converter a picture is first made 8-bit colours, stretched where it is deeper, as ``scanseg predict`` does.
    Without one it is a label map: the numbers of the file.
    """

    def read(self, data: Sequence[str] | str, **kwargs: Any) -> Any:
        """Read one file, or several, to be stacked as channels."""
        images = [self._image(name) for name in ensure_tuple(data)]
        return images if len(images) > 1 else images[0]

    def _image(self, name: str) -> Image.Image:
        if callable(self.converter):
            return self.converter(Image.fromarray(rgb8(read_picture(name).array)))
        numbers = read_picture(name, numbers=True).array
        if numbers.dtype not in (np.uint8, np.uint16, np.int32, np.float32):  # all that Pillow can hold
            numbers = numbers.astype(np.float32 if numbers.dtype.kind == "f" else np.int32)
        return Image.fromarray(numbers)


class _LoadImage(LoadImage):
    def __call__(self, filename: Sequence[str] | str, reader: ImageReader | None = None) -> Any:
        if reader is None and not self.auto_select:
            reader = self.readers[-1]  # the one that was asked for, and its errors: MONAI would try all others
        try:
            return _known_by_monai(super().__call__(filename, reader))
        except Exception as error:
            name = ", ".join(map(str, ensure_tuple(filename)))
            reason = one_line(error).removesuffix(f": {name}").replace(f" '{name}'", "")
            reason = NO_READER if "suitable reader" in reason else reason
            raise ValueError(f"{name} cannot be read: {reason}; {HINT}") from error


def _known_by_monai(image: Any) -> Any:
    """The image with a name that MONAI's ``SaveImage`` takes the ending off: it knows ``.gz`` in small letters only."""
    name = str(image.meta.get(ImageMetaKey.FILENAME_OR_OBJ, "")) if isinstance(image, MetaTensor) else ""
    if (ending := ending_of(name)).endswith(".gz"):
        image.meta[ImageMetaKey.FILENAME_OR_OBJ] = name[: -len(ending)] + ending
    return image


class LoadWholeImaged(LoadImaged):
    """MONAI's ``LoadImaged`` that notices a damaged file wherever it has a checksum, and names it.

    Volumes and pictures of all formats of :mod:`components.images` are read. Compressed NIfTI and PNG have checksums.
    In other files damage is noticed where it makes them unreadable.

    Args:
        keys: keys of the files.
        reader: name of MONAI's reader; by default the one for the ending of the file.
        allow_missing_keys: whether a key may be missing.
        kwargs: arguments of the reader.

    Raises:
        ValueError: while it runs, if a file is missing, damaged, or of no known kind.

    Example:
        >>> LoadWholeImaged("image")({"image": "nowhere.nii.gz"})
        Traceback (most recent call last):
        ValueError: nowhere.nii.gz cannot be read: No such file or directory; replace or leave out the file; \
`scanseg data check DATASET_DIR` looks for all faults of a data set
    """

    def __init__(
        self, keys: KeysCollection, reader: str | None = None, allow_missing_keys: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(keys, allow_missing_keys=allow_missing_keys)
        whole = {"PILReader": WholePILReader, "NibabelReader": WholeNibabelReader}.get(reader)
        self._loader = _LoadImage(reader if whole is None else whole(**kwargs), image_only=True, **kwargs)
        if reader is None:
            self._loader.register(WholeNibabelReader())
