"""Turning volumes to one orientation, and predictions exactly back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import SpaceKeys, TraceKeys
from nibabel.orientations import inv_ornt_aff
from torch import Tensor

from ..images.orientation import checked_axcodes, turn

SAME_GRID = 1e-2
"""Two affines that differ by less, in mm, are those of one grid."""


class Orientation(InvertibleTransform):
    """Reorder and flip the axes of a volume so that they point where a network expects them.

    MONAI's transform of this name finds the way back from the affine anew. For an axis at 45° to the patient's that is
    another way than the one it went. Here the inverse undoes the axes that were recorded.

    Args:
        axcodes: where the axes are to point to, for example "PLS" for rows to posterior, columns to the patient's left
            and slices to superior. None or "stored" leaves the axes as the file has them.

    Shape:
        (C, H, W) or (C, H, W, D), the spatial axes reordered.

    Raises:
        ValueError: if ``axcodes`` are no three directions of the body.

    Example:
        >>> image = MetaTensor(torch.zeros(1, 2, 3, 4), affine=torch.eye(4))
        >>> orientation = Orientation("PLS")
        >>> turned = orientation(image)
        >>> turned.shape, orientation.inverse(turned).shape
        (torch.Size([1, 3, 2, 4]), torch.Size([1, 2, 3, 4]))
    """

    def __init__(self, axcodes: str | None) -> None:
        self.axcodes = checked_axcodes(axcodes)

    def __call__(self, img: Tensor, like: Tensor | None = None) -> MetaTensor:
        """Turn a volume.

        Args:
            img: channel first; a plain tensor is taken to have the axes of the identity.
            like: a volume on the same grid, whose affine says how to turn; rounding cannot part the two then.
        """
        img = img if isinstance(img, MetaTensor) else MetaTensor(img)
        axes = turn(_ras_affine(img if like is None else like, img.ndim - 1), self.axcodes)
        result = _turned(img, axes)
        extra = {"axes": axes.astype(int).tolist()}
        self.push_transform(result, orig_size=tuple(img.shape[1:]), extra_info=extra)
        return result

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """Turn a volume, or a prediction for it, back as it was."""
        there = np.array(self.pop_transform(data)[TraceKeys.EXTRA_INFO]["axes"])
        back = np.empty_like(there)
        for axis, (place, flip) in enumerate(there):
            back[place] = axis, flip
        return _turned(data, back)


class Orientationd(MapTransform, InvertibleTransform):
    """Dictionary version of :class:`Orientation`.

    Items on one grid, such as an image and its label map, are turned alike, whatever the rounding of their affines.

    Args:
        keys: keys of the volumes.
        axcodes: as in :class:`Orientation`.
        allow_missing_keys: whether a key may be missing.

    Raises:
        ValueError: as :class:`Orientation`.
    """

    def __init__(self, keys: KeysCollection, axcodes: str | None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.orientation = Orientation(axcodes)

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Turn the volumes of all keys; other items are passed on."""
        result, first = dict(data), None
        for key in self.key_iterator(result):
            first = result[key] if first is None else first
            result[key] = self.orientation(result[key], like=first if _one_grid(result[key], first) else None)
        return result

    def inverse(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, MetaTensor]:
        """Turn the volumes of all keys back."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.orientation.inverse(result[key])
        return result


def _turned(img: MetaTensor, axes: np.ndarray) -> MetaTensor:
    """Flip the axes, then move each to its place; the affine follows."""
    flipped = [axis + 1 for axis, (_, flip) in enumerate(axes) if flip < 0]
    order = np.argsort(axes[:, 0]).astype(int) + 1
    values = img.as_tensor().flip(flipped).permute(0, *order.tolist())
    result = MetaTensor(values, meta=img.meta, applied_operations=img.applied_operations)
    change = to_affine_nd(len(img.affine) - 1, inv_ornt_aff(axes, img.shape[1:]))
    result.affine = img.affine @ torch.as_tensor(change, dtype=img.affine.dtype, device=img.affine.device)
    return result


def _ras_affine(img: Tensor, rank: int) -> np.ndarray:
    if not isinstance(img, MetaTensor):
        return np.eye(rank + 1)
    affine = to_affine_nd(rank, img.affine.cpu().numpy())
    if img.meta.get("space") is not None and SpaceKeys(img.meta["space"]) == SpaceKeys.LPS:
        affine[:2] *= -1
    return affine


def _one_grid(img: Tensor, first: Tensor) -> bool:
    if img.shape[1:] != first.shape[1:] or not (isinstance(img, MetaTensor) and isinstance(first, MetaTensor)):
        return False
    return bool(torch.allclose(img.affine, first.affine, rtol=0, atol=SAME_GRID))
