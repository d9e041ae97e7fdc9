"""What MSVM-UNet's augmentation does to slices and MONAI has no transform for."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.meta_obj import get_track_meta
from monai.networks.layers import gaussian_1d
from monai.transforms import Affine, MapTransform, RandomizableTransform
from monai.utils import TraceKeys, convert_to_dst_type, convert_to_numpy, convert_to_tensor, ensure_tuple_rep
from scipy import ndimage
from torch import Tensor


class RandSheard(RandomizableTransform, MapTransform):
    """Shear slices along both axes by one random angle, about their centre.

    MONAI's ``RandAffined`` draws a tangent for each axis. Here the image is sheared along its rows and then along its
    columns by the same angle, as imgaug's ``Affine(shear=(-16, 16))`` does: near to a rotation. It is 0 outside.

    Args:
        keys: the slices, each (C, H, W), all on one grid.
        prob: probability of a shear.
        degrees: largest angle to either side, below 90.
        mode: how each item is interpolated, one for all keys or one for each: "bilinear", "nearest".
        allow_missing_keys: whether items may be missing.

    Example:
        >>> shear = RandSheard(["image", "label"], prob=1.0, mode=["bilinear", "nearest"]).set_random_state(seed=0)
        >>> shear({"image": torch.rand(1, 8, 8), "label": torch.ones(1, 8, 8)})["image"].shape
        torch.Size([1, 8, 8])
    """

    backend = Affine.backend

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.1,
        degrees: float = 16.0,
        mode: Sequence[str] | str = "bilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        if not 0 <= degrees < 90:
            raise ValueError(f"degrees must be an angle from 0 to below 90, got {degrees}")
        self.degrees = degrees
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.angle = 0.0

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Shear the items; other items are passed on.

        Returns:
            A dictionary with the items in float32.
        """
        d = dict(data)
        self.randomize(None)
        self.angle = self.R.uniform(-self.degrees, self.degrees) if self._do_transform else 0.0
        t = math.tan(math.radians(self.angle))
        # From a place (row, column) of the result to that of the source; the determinant is 1.
        matrix = np.array([[1 - t * t, -t, 0], [t, 1, 0], [0, 0, 1]])
        move = Affine(affine=matrix, padding_mode="zeros", image_only=True)
        for key, mode in self.key_iterator(d, self.mode):
            img = convert_to_tensor(d[key], dtype=torch.float32, track_meta=get_track_meta())
            d[key] = move(img, mode=mode) if self._do_transform else img
        return d


class BlurSourceSlicesd(MapTransform):
    """Blur slices that were resized as much as a Gaussian does that is so many pixels wide before the resizing.

    The resizing is looked up in the operations that a ``MetaTensor`` remembers; where there is none, the width is in
    pixels as they are. The kernel is the discrete Gaussian, whose variance is right for widths below a pixel, too. The
    image is mirrored at its border.

    Args:
        keys: the slices, each (C, H, W).
        sigma: standard deviation in pixels of the slice before :class:`components.transforms.ResizeSlices`.
        allow_missing_keys: whether items may be missing.

    Raises:
        ValueError: if ``sigma`` is not positive.
    """

    def __init__(self, keys: KeysCollection, sigma: float = 1.0, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if not sigma > 0:
            raise ValueError(f"sigma must be positive, got {sigma}")
        self.sigma = sigma

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Blur the items; other items are passed on."""
        d = dict(data)
        for key in self.key_iterator(d):
            blurred = convert_to_numpy(d[key])
            for axis, before in enumerate(_size_before(d[key]), start=1):
                width = self.sigma * (blurred.shape[axis] - 1) / max(before - 1, 1)
                kernel = gaussian_1d(torch.tensor(width), truncated=4.0, approx="scalespace").numpy()
                blurred = ndimage.correlate1d(blurred, kernel / kernel.sum(), axis=axis, mode="mirror")
            d[key] = convert_to_dst_type(blurred, d[key])[0]
        return d


def _size_before(img: Tensor) -> tuple[int, int]:
    """Height and width that a slice had before it was resized."""
    applied = img.applied_operations if isinstance(img, MetaTensor) else []
    sizes = [step[TraceKeys.ORIG_SIZE] for step in applied if step[TraceKeys.CLASS_NAME] == "ResizeSlices"]
    height, width = (sizes[-1] if sizes else img.shape[1:])[:2]
    return int(height), int(width)
