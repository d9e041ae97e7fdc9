"""Resizing in the plane, slice by slice, with splines: what two-dimensional networks do to volumes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.meta_obj import get_track_meta
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TransformBackends, convert_to_numpy, convert_to_tensor, ensure_tuple_rep
from scipy import ndimage


class ResizeSlices(InvertibleTransform):
    """Resize the first two spatial axes by spline interpolation; a third axis, if there is one, stays as it is.

    The centres of the corner pixels stay in place, as in ``scipy.ndimage.zoom``, with which the published MSVM-UNet
    resizes its slices. (For some sizes, 512 to 224 among them, the published last row and column are 0 by rounding;
    here they are the image's.) The inverse restores the original size with the same order, or with the nearest pixel
    where ``Invertd(nearest_interp=True)`` asks for it.

    Args:
        size: height and width of the result, in pixels.
        order: of the spline: 3 cubic, 1 linear, 0 nearest.

    Shape:
        (C, H, W) or (C, H, W, D) to (C, height, width) or (C, height, width, D).

    Raises:
        ValueError: if ``size`` is not two positive numbers, or ``order`` not 0 … 5.

    Example:
        >>> ResizeSlices(size=[8, 8])(torch.rand(1, 4, 6, 3)).shape
        torch.Size([1, 8, 8, 3])
    """

    backend = (TransformBackends.NUMPY,)

    def __init__(self, size: Sequence[int], order: int = 3) -> None:
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"size must be a height and a width in pixels, got {list(size)}")
        if order not in range(6):
            raise ValueError(f"order must be a spline order from 0 (nearest) to 5, got {order}")
        self.size = tuple(int(n) for n in size)
        self.order = order

    def __call__(self, img: torch.Tensor, order: int | None = None) -> torch.Tensor:
        """Resize one image; ``order`` overrides the constructor's."""
        order = self.order if order is None else order
        img = convert_to_tensor(img, track_meta=get_track_meta())
        before = tuple(img.shape[1:])
        result = self._resize(img, self.size, order)
        if isinstance(result, MetaTensor):
            self.push_transform(result, orig_size=before, extra_info={"mode": order})
        return result

    def inverse(self, data: torch.Tensor) -> torch.Tensor:
        """Restore the size that the last call found."""
        applied = self.pop_transform(data)
        mode = applied["extra_info"]["mode"]
        return self._resize(data, applied["orig_size"][:2], 0 if mode == "nearest" else int(mode))

    def _resize(self, img: torch.Tensor, size: Sequence[int], order: int) -> torch.Tensor:
        before = tuple(img.shape[1:3])
        array = convert_to_numpy(img)
        planes = array.reshape(*array.shape[:3], -1).transpose(0, 3, 1, 2)
        zoom = [after / size_before for after, size_before in zip(size, before, strict=True)]
        resized = np.empty((*planes.shape[:2], *size), array.dtype)
        for index in np.ndindex(planes.shape[:2]):
            # Rounding puts the last pixel outside the image for some sizes (512 to 224): SciPy's default gives 0 there.
            ndimage.zoom(planes[index], zoom, output=resized[index], order=order, mode="mirror")
        shaped = resized.transpose(0, 2, 3, 1).reshape(array.shape[0], *size, *array.shape[3:])
        result = torch.from_numpy(np.ascontiguousarray(shaped))
        if not isinstance(img, MetaTensor):
            return result
        result = MetaTensor(result).copy_meta_from(img)
        steps = [(b - 1) / (a - 1) if a > 1 else 1.0 for b, a in zip(before, size, strict=True)]
        result.affine = img.affine @ torch.diag(torch.tensor([*steps, 1.0, 1.0], dtype=img.affine.dtype))
        return result


class ResizeSlicesd(MapTransform, InvertibleTransform):
    """Dictionary version of :class:`ResizeSlices`.

    Args:
        keys: keys of the images.
        size: height and width of the results, in pixels.
        order: spline order of each key, for example ``[3, 0]`` for image and label.
        allow_missing_keys: whether a key may be missing.
    """

    backend = ResizeSlices.backend

    def __init__(
        self,
        keys: KeysCollection,
        size: Sequence[int],
        order: int | Sequence[int] = 3,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.order = ensure_tuple_rep(order, len(self.keys))
        self.resize = ResizeSlices(size)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Resize the images of all keys."""
        result = dict(data)
        for key, order in self.key_iterator(result, self.order):
            result[key] = self.resize(result[key], order)
        return result

    def inverse(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Restore the sizes of the images of all keys."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.resize.inverse(result[key])
        return result
