"""Loading that notices damage, and names the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.config import KeysCollection
from monai.data import ImageReader, NibabelReader
from monai.data.utils import correct_nifti_header_if_necessary
from monai.transforms import LoadImage, LoadImaged
from monai.utils import ensure_tuple

from components.errors import one_line
from components.images.nifti import read_nifti
from components.images.pictures import check_picture

HINT = "replace or leave out the file; `scanseg data check DATASET_DIR` looks for all faults of a data set"
NO_READER = "there is no reader here for this kind of file: convert it to NIfTI, or use `scanseg predict`"
PNG = ".png"


class WholeNibabelReader(NibabelReader):
    """MONAI's reader of NIfTI on top of :func:`~components.images.nifti.read_nifti`, with MONAI's arguments."""

    def read(self, data: Sequence[str] | str, **kwargs: Any) -> Any:
        """Read one file, or several, to be stacked as channels."""
        self.filenames = ensure_tuple(data)
        images = [correct_nifti_header_if_necessary(read_nifti(name)) for name in self.filenames]
        return images if len(images) > 1 else images[0]


class _LoadImage(LoadImage):
    def __call__(self, filename: Sequence[str] | str, reader: ImageReader | None = None) -> Any:
        if reader is None and not self.auto_select:
            reader = self.readers[-1]  # the one that was asked for, and its errors: MONAI would try all others
        try:
            for name in ensure_tuple(filename):
                if str(name).lower().endswith(PNG):
                    check_picture(name)
            return super().__call__(filename, reader)
        except Exception as error:
            name = ", ".join(map(str, ensure_tuple(filename)))
            reason = one_line(error).removesuffix(f": {name}").replace(f" '{name}'", "")
            reason = NO_READER if "suitable reader" in reason else reason
            raise ValueError(f"{name} cannot be read: {reason}; {HINT}") from error


class LoadWholeImaged(LoadImaged):
    """MONAI's ``LoadImaged`` that notices a damaged file wherever it has a checksum, and names it.

    Compressed NIfTI and PNG have checksums. In other files damage is noticed where it makes them unreadable.

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
        self._loader = _LoadImage(reader, image_only=True, **kwargs)
        if reader is None:
            self._loader.register(WholeNibabelReader())
