"""Random rotation and isotropic scaling in one resampling, in space or within the slices of an anisotropic patch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.meta_obj import get_track_meta
from monai.transforms import Affine, MapTransform, RandomizableTransform, Resample, ResizeWithPadOrCrop
from monai.transforms.utils import create_grid, create_rotate
from monai.utils import convert_to_tensor, ensure_tuple_rep, fall_back_tuple
from torch import Tensor

from ..validation import check_range
from .intensity import draw_around_one
from .sample_labels import sample_labels


class RandRotateScaled(RandomizableTransform, MapTransform):
    """Rotate and scale items about their centre, each with a probability of its own.

    Where both happen the items are resampled once, so that they are not blurred twice. MONAI's ``RandAffined`` has one
    probability for both and scales every axis by another factor. Source: the augmentation of nnU-Net (Isensee et al.,
    2021), which also confines it to the planes of patches that are more than three times longer than thick.

    Args:
        keys: the items, each channel first with 2 or 3 spatial axes, all on one grid.
        spatial_size: size of the result, around the same centre; an axis that is -1 keeps its size, None keeps all. A
            source that is larger than the result gives rotated patches real content up to their corners.
        rotate_prob: probability of a rotation.
        degrees: largest angle to either side, one for each axis of rotation, or one number for all of them. In a plane
            there is one, in space there are three.
        scale_prob: probability of a scaling.
        scale_range: smallest and largest extent that is seen, as a multiple of ``spatial_size``: above 1 things
            become smaller. Half of the draws are below 1, half above.
        slice_axis: spatial axis that stays as it is; planes across it are rotated and scaled alike. None moves all
            axes.
        mode: how each item is interpolated, one for all keys or one for each: "label" (a label map, see
            :func:`components.transforms.sample_labels`), "nearest", "bilinear", "bicubic" (in a plane only) or a spline
            order 0 to 5, as MONAI's ``Resample`` takes it.
        padding_mode: what lies outside, one for all keys or one for each, as MONAI's ``Resample`` takes it.
        allow_missing_keys: whether items may be missing.

    Raises:
        ValueError: if an argument is out of its range; when called, if the number of axes does not fit ``degrees``.

    Example:
        >>> augment = RandRotateScaled(["image", "label"], degrees=180, mode=["bilinear", "label"], spatial_size=16)
        >>> augment({"image": torch.rand(1, 20, 20), "label": torch.ones(1, 20, 20)})["image"].shape
        torch.Size([1, 16, 16])
    """

    backend = Resample.backend

    def __init__(
        self,
        keys: KeysCollection,
        spatial_size: Sequence[int] | int | None = None,
        rotate_prob: float = 0.2,
        degrees: Sequence[float] | float = 180.0,
        scale_prob: float = 0.2,
        scale_range: Sequence[float] = (0.7, 1.4),
        slice_axis: int | None = None,
        mode: Sequence[str | int] | str | int = "bilinear",
        padding_mode: Sequence[str] | str = "zeros",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, 1.0)
        for name, prob in (("rotate_prob", rotate_prob), ("scale_prob", scale_prob)):
            if not 0 <= prob <= 1:
                raise ValueError(f"{name} must be a probability from 0 to 1, got {prob}")
        self.scale_range = check_range("scale_range", scale_range, least=0.01)
        self.spatial_size = spatial_size
        self.rotate_prob, self.scale_prob = rotate_prob, scale_prob
        self.degrees = degrees
        self.slice_axis = slice_axis
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.padding_mode = ensure_tuple_rep(padding_mode, len(self.keys))
        self.resample = Resample(dtype=np.float32)
        self.angles: np.ndarray | None = None
        self.scale: float | None = None

    def randomize(self, spatial_dims: int) -> None:
        """Draw ``angles`` in radians (None: no rotation) and ``scale`` (None: no scaling)."""
        moving = spatial_dims - (self.slice_axis is not None)
        limits = np.radians(ensure_tuple_rep(self.degrees, 1 if moving == 2 else 3))
        self.angles = self.R.uniform(-limits, limits) if self.R.random() < self.rotate_prob else None
        self.scale = draw_around_one(self.R, *self.scale_range) if self.R.random() < self.scale_prob else None

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Rotate and scale the items; other items are passed on.

        Returns:
            A dictionary with the items in float32.
        """
        d = dict(data)
        present = list(self.key_iterator(d, self.mode, self.padding_mode))
        if present:
            self.randomize(d[present[0][0]].ndim - 1)
        for key, mode, padding_mode in present:
            img = convert_to_tensor(d[key], dtype=torch.float32, track_meta=get_track_meta())
            size = fall_back_tuple(self.spatial_size, img.shape[1:])
            if self.angles is None and self.scale is None:
                d[key] = ResizeWithPadOrCrop(size)(img)
            else:
                d[key] = self._move(img, size, mode, padding_mode)
        return d

    def _move(self, img: Tensor, size: Sequence[int], mode: str | int, padding_mode: str) -> Tensor:
        dims, axis = img.ndim - 1, self.slice_axis
        turn = self._matrix(2 if axis is not None else dims)
        matrix = np.eye(dims + 1)
        moving = [a for a in range(dims) if axis is None or a != axis % dims]
        matrix[np.ix_(moving, moving)] = turn[:-1, :-1]
        if axis is None:
            result = self._sample(img, turn, size, mode, padding_mode)
        else:
            axis %= dims
            middle = ResizeWithPadOrCrop([size[a] if a == axis else img.shape[a + 1] for a in range(dims)])(img)
            planes = middle.as_tensor() if isinstance(middle, MetaTensor) else middle
            planes = planes.movedim(axis + 1, 1)
            sampled = self._sample(planes.flatten(0, 1), turn, [size[a] for a in moving], mode, padding_mode)
            result = sampled.unflatten(0, planes.shape[:2]).movedim(1, axis + 1)
        if isinstance(img, MetaTensor):
            result = MetaTensor(result, meta=img.meta, applied_operations=img.applied_operations)
            shift = Affine.compute_w_affine(len(img.affine) - 1, matrix, img.shape[1:], size)
            result.affine = img.affine @ torch.as_tensor(shift, dtype=img.affine.dtype)
        return result

    def _sample(self, img: Tensor, matrix: np.ndarray, size: Sequence[int], mode: str | int, padding: str) -> Tensor:
        grid = create_grid(size, dtype=torch.float64, backend="torch")
        turned = (torch.as_tensor(matrix, dtype=grid.dtype) @ grid.flatten(1)).reshape(grid.shape)
        if mode == "label":
            centre = torch.tensor([(n - 1) / 2 for n in img.shape[1:]], dtype=grid.dtype)
            return sample_labels(
                img.as_tensor() if isinstance(img, MetaTensor) else img,
                turned[:-1] + centre.view(-1, *[1] * len(centre)),
            )
        sampled = self.resample(img, grid=turned, mode=mode, padding_mode=padding)
        return sampled.as_tensor() if isinstance(sampled, MetaTensor) else sampled

    def _matrix(self, dims: int) -> np.ndarray:
        """From the voxels of the result to those of the source, about the centre."""
        # About the first axis first; create_rotate turns about the last one first.
        matrix = np.eye(dims + 1) if self.angles is None else np.asarray(create_rotate(dims, -self.angles)).T
        if self.scale is not None:
            matrix[:dims, :dims] *= self.scale
        return matrix
