"""Writing label maps, each on the grid of its image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, NibabelWriter
from monai.transforms import SaveImaged
from monai.utils import ImageMetaKey, MetaKeys

from ..files import replacing
from ..images.endings import kind_of
from ..images.grid import check_same_grid, label_image


class SaveMapd(SaveImaged):
    """MONAI's ``SaveImaged`` for label maps, which writes a map only where it lies on its image.

    Shape and affine have to be those of the image as it was read; of pictures the shape. NIfTI gets the affines and the
    unit that the file of the image has, so that every software lays the map on the image.

    Args:
        keys: keys of the maps, each with one channel and the metadata of its image, as ``Invertd`` leaves it.
        writer: name of a writer of MONAI; by default one for NIfTI.
        options: other arguments of ``SaveImaged``.

    Raises:
        ValueError: while it runs, if the map does not lie on the image; nothing is written then.
    """

    def __init__(self, keys: KeysCollection, writer: str | None = None, **options: Any) -> None:
        super().__init__(keys, writer=_MapWriter if writer is None else writer, **options)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Write the maps of all keys."""
        for key in self.key_iterator(data):
            if isinstance(data[key], MetaTensor) and data[key].ndim == 4:
                check_map(data[key][0], data[key].meta)
            elif isinstance(data[key], MetaTensor):
                _check_picture(data[key])
        return super().__call__(data)


def check_map(labels: MetaTensor, meta: Mapping[str, Any]) -> None:
    """Check that a label map lies on its image.

    Args:
        labels: the map, X × Y × Z.
        meta: metadata of the image, as it was read.

    Raises:
        ValueError: if it does not.
    """
    image, shape = (np.asarray(meta[key]) for key in (MetaKeys.ORIGINAL_AFFINE, MetaKeys.SPATIAL_SHAPE))
    try:
        check_same_grid(labels.shape, labels.affine.cpu().numpy(), shape, image)
    except ValueError as error:
        raise ValueError(f"{meta.get(ImageMetaKey.FILENAME_OR_OBJ, 'image')}: {error}") from error


def _check_picture(labels: MetaTensor) -> None:
    """Raise ValueError unless a map, channels first, has the shape of the picture as it was read."""
    shape, wanted = tuple(labels.shape[1:]), tuple(int(n) for n in labels.meta[MetaKeys.SPATIAL_SHAPE])
    if shape != wanted:
        raise ValueError(
            f"{labels.meta.get(ImageMetaKey.FILENAME_OR_OBJ, 'image')}: the prediction has {shape[0]} × {shape[1]} "
            f"pixels, but the picture {wanted[0]} × {wanted[1]}: nothing was written"
        )


def map_of(labels: np.ndarray, meta: Mapping[str, Any]) -> nib.Nifti1Image:
    """A label map as NIfTI on the grid of its image; arguments as of :func:`check_map`."""
    path = str(meta.get(ImageMetaKey.FILENAME_OR_OBJ, ""))
    if kind_of(path) == "nifti" and Path(path).is_file():
        return label_image(labels, nib.load(path))
    affine = np.asarray(meta[MetaKeys.ORIGINAL_AFFINE], dtype=np.float64)
    image = nib.Nifti1Image(labels, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    return label_image(labels, image)


class _MapWriter(NibabelWriter):
    """Keeps all axes of the map: MONAI's writer drops the third of a volume of one slice."""

    def set_data_array(self, data_array: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        self.data_obj = np.asarray(data_array[0].cpu()).astype(self.output_dtype)

    def set_metadata(self, meta_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        self.meta = meta_dict

    def write(self, filename: str, *args: Any, **kwargs: Any) -> None:
        with replacing(Path(filename)) as partial:
            nib.save(map_of(self.data_obj, self.meta), partial)
