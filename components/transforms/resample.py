"""Resampling to a target spacing, with a separate treatment of thick slices, and back to the original grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.transforms.utils import scale_affine
from monai.utils import TraceKeys, ensure_tuple_rep
from scipy import ndimage
from torch import Tensor

from ..validation import check_choice

MODES = ("cubic", "linear", "nearest", "label")


class ResampleSpacing(InvertibleTransform):
    """Resample an image to a target spacing as nnU-Net does (Isensee et al., 2021).

    Voxels are boxes and the image keeps its extent, so that its size is rounded and the spacing comes out nearly as
    asked for. Where one axis has a spacing, before or after, of more than ``anisotropy`` times the smallest one, and it
    alone is the largest, the image is interpolated within its slices only and takes the nearest slice across them.

    The inverse brings a prediction back to the grid that the image had: a label map by nearest neighbours (``Invertd``
    with ``nearest_interp=True``), logits or probabilities linearly (``nearest_interp=False``). Slices are the nearest
    ones again where they were so.

    Args:
        pixdim: target spacing along each axis, usually in mm; -1 keeps the image's.
        mode: "cubic" (splines, kept in the image's range), "linear", "nearest", or "label" (linear on the one-hot
            labels, the largest wins).
        anisotropy: ratio of spacings above which the slices are resampled by themselves; ``inf`` never does.

    Raises:
        ValueError: if an argument is out of its range; when called, if the image has no spacing or other axes.
    """

    def __init__(self, pixdim: Sequence[float], mode: str = "cubic", anisotropy: float = 3.0) -> None:
        check_choice("mode", mode, MODES)
        if not len(pixdim) or not all(p > 0 or p == -1 for p in pixdim):
            raise ValueError(f"pixdim must be positive numbers, or -1, one for each axis, got {list(pixdim)}")
        self.pixdim = tuple(float(p) for p in pixdim)
        self.mode = mode
        self.anisotropy = anisotropy

    def __call__(self, img: MetaTensor, mode: str | None = None) -> MetaTensor:
        """Resample an image.

        Args:
            img: channel first, with its spacing in the affine.
            mode: instead of the constructor's.

        Returns:
            The image in float32, or in its own type for "nearest" and "label".
        """
        mode = self.mode if mode is None else mode
        if not isinstance(img, MetaTensor) or img.ndim != len(self.pixdim) + 1:
            raise ValueError(
                f"an image of shape {tuple(img.shape)} cannot get the spacing {self.pixdim}: it must be a MetaTensor "
                f"with a channel and {len(self.pixdim)} axes, as LoadImaged and EnsureChannelFirstd make it"
            )
        spacing = [float(s) for s in img.pixdim[: len(self.pixdim)]]
        shape = tuple(img.shape[1:])
        target = [s if t == -1 else t for s, t in zip(spacing, self.pixdim, strict=True)]
        size = tuple(max(1, round(n * s / t)) for n, s, t in zip(shape, spacing, target, strict=True))
        axis = slice_axis(spacing, self.anisotropy)
        axis = slice_axis(target, self.anisotropy) if axis is None else axis
        result = _like(img, resize(img.as_tensor(), size, mode, axis))
        grid = scale_affine(shape, size)
        result.affine = img.affine @ _affine_of(grid, len(img.affine))
        extra = {"mode": "linear", "slice_axis": TraceKeys.NONE if axis is None else axis}
        self.push_transform(result, orig_size=shape, extra_info=extra)
        return result

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """Bring an image or a prediction back to the grid of the image that was resampled."""
        transform = self.pop_transform(data)
        extra, size = transform[TraceKeys.EXTRA_INFO], tuple(transform[TraceKeys.ORIG_SIZE])
        axis = None if extra["slice_axis"] == TraceKeys.NONE else extra["slice_axis"]
        result = _like(data, resize(data.as_tensor(), size, str(extra["mode"]), axis))
        grid = scale_affine(tuple(data.shape[1:]), size)
        result.affine = data.affine @ _affine_of(grid, len(data.affine))
        return result


class ResampleSpacingd(MapTransform, InvertibleTransform):
    """Apply :class:`ResampleSpacing` to items of a dictionary.

    Args:
        keys: the items.
        pixdim: target spacing along each axis, usually in mm.
        mode: one for all keys or one for each, for example ``["cubic", "label"]`` for an image and its label map.
        anisotropy: as in :class:`ResampleSpacing`.
        allow_missing_keys: whether items may be missing.

    Raises:
        ValueError: as :class:`ResampleSpacing`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        pixdim: Sequence[float],
        mode: Sequence[str] | str = "cubic",
        anisotropy: float = 3.0,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        for name in self.mode:
            check_choice("mode", name, MODES)
        self.resample = ResampleSpacing(pixdim, anisotropy=anisotropy)

    def __call__(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, MetaTensor]:
        """Resample the items; other items are passed on."""
        d = dict(data)
        for key, mode in self.key_iterator(d, self.mode):
            d[key] = self.resample(d[key], mode)
        return d

    def inverse(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, MetaTensor]:
        """Bring the items back to their grids."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.resample.inverse(d[key])
        return d


def slice_axis(spacing: Sequence[float], anisotropy: float = 3.0) -> int | None:
    """The axis across thick slices, or None where there is none, or two axes are as coarse.

    Example:
        >>> slice_axis([5.0, 1.2, 1.2]), slice_axis([3.0, 1.2, 1.2]), slice_axis([0.2, 1.2, 1.2])
        (0, None, None)
    """
    coarse = np.flatnonzero(np.isclose(spacing, max(spacing), rtol=1e-6))
    return int(coarse[0]) if max(spacing) > anisotropy * min(spacing) and len(coarse) == 1 else None


def resize(img: Tensor, size: Sequence[int], mode: str, axis: int | None = None) -> Tensor:
    """Change the size of an image whose voxels are boxes, its extent being kept.

    Args:
        img: channel first, (C, H, W) or (C, H, W, D).
        size: new size.
        mode: "cubic", "linear", "nearest" or "label", see :class:`ResampleSpacing`.
        axis: spatial axis across the slices, along which the nearest slice is taken; None treats all axes alike.

    Returns:
        The image in float32, or in its own type for "nearest" and "label".

    Example:
        >>> resize(torch.tensor([[[0.0, 2.0]]]), (1, 4), "linear")
        tensor([[[0.0000, 0.5000, 1.5000, 2.0000]]])
    """
    if tuple(img.shape[1:]) == tuple(size):
        return img if mode in ("nearest", "label") else img.float()
    if mode == "label":
        result = torch.zeros(len(img), *size, dtype=img.dtype, device=img.device)
        best = torch.zeros(result.shape, device=img.device)
        for label in img.unique():
            share = resize((img == label).float(), size, "linear", axis)
            result[share >= best] = label
            best = torch.maximum(share, best)
        return result
    if mode == "nearest":
        for spatial, n in enumerate(size):
            img = _nearest(img, spatial + 1, n)
        return img
    if axis is not None:
        slices = img.movedim(axis + 1, 1)
        plane = [n for a, n in enumerate(size) if a != axis]
        resized = resize(slices.flatten(0, 1), plane, mode).unflatten(0, slices.shape[:2])
        return _nearest(resized.movedim(1, axis + 1), axis + 1, size[axis])
    if mode == "linear":
        names = {1: "linear", 2: "bilinear", 3: "trilinear"}
        return F.interpolate(img.float()[None], tuple(size), mode=names[img.ndim - 1], align_corners=False)[0]
    return torch.stack([_cubic(channel, size) for channel in img.float()])


def _cubic(channel: Tensor, size: Sequence[int]) -> Tensor:
    values = channel.cpu().numpy().astype(np.float64)
    zoom = np.divide(size, values.shape)
    resized = ndimage.zoom(values, zoom, order=3, mode="nearest", grid_mode=True)
    # Splines swing over at sharp edges.
    return torch.as_tensor(resized.clip(values.min(), values.max()), dtype=torch.float32, device=channel.device)


def _nearest(img: Tensor, axis: int, size: int) -> Tensor:
    scale = img.shape[axis] / size
    index = torch.floor((torch.arange(size, dtype=torch.float64) + 0.5) * scale).long()
    return img.index_select(axis, index.clamp(max=img.shape[axis] - 1).to(img.device))


def _like(img: MetaTensor, values: Tensor) -> MetaTensor:
    return MetaTensor(values, meta=img.meta, applied_operations=img.applied_operations)


def _affine_of(grid: np.ndarray, rank: int) -> Tensor:
    whole = np.eye(rank)
    axes = len(grid) - 1
    whole[:axes, :axes], whole[:axes, -1] = grid[:axes, :axes], grid[:axes, -1]
    return torch.as_tensor(whole, dtype=torch.float64)
