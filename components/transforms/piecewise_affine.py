"""Random local (piecewise) affine deformation, which MONAI has no transform for."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data.meta_obj import get_track_meta
from monai.transforms import MapTransform, RandomizableTransform, Resample
from monai.transforms.utils import create_grid
from monai.utils import GridSampleMode, convert_to_tensor, ensure_tuple_rep, look_up_option
from torch import Tensor

from ..validation import check_range


class RandPiecewiseAffine(RandomizableTransform):
    """Deform an image piece by piece, by moving the points of a regular grid.

    Every point of a grid that spans the image moves along every axis by a normally distributed distance, but not out of
    the image. Cells of the grid are cut into simplices (2D: two triangles), and each simplex is mapped affinely, so
    that the map is piecewise linear and continuous. It says where a voxel of the result is looked up in the image. The
    array keeps its shape; the deformation is not recorded for inversion. Source: imgaug's ``PiecewiseAffine``, whose
    grid spans from 0 to the size of the image, one voxel beyond the last one.

    Args:
        prob: probability of a deformation, 0 to 1.
        scale_range: smallest and largest standard deviation of the displacements, as a fraction of the image's size
            along the axis; one value for each image is drawn uniformly.
        grid_range: smallest and largest number of points along an axis, at least 2; drawn for each axis and image.
        mode: "bilinear", "nearest", "bicubic" (2D only) or a spline order 0 to 5, as MONAI's ``Resample`` takes it.
        padding_mode: what lies outside of the image, as MONAI's ``Resample`` takes it: "zeros", "border", "reflection".

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> deform = RandPiecewiseAffine(prob=1.0).set_random_state(seed=0)
        >>> deform(torch.rand(1, 32, 32)).shape
        torch.Size([1, 32, 32])
    """

    backend = Resample.backend

    def __init__(
        self,
        prob: float = 0.1,
        scale_range: Sequence[float] = (0.008, 0.03),
        grid_range: Sequence[int] = (2, 4),
        mode: str | int = "bilinear",
        padding_mode: str = "zeros",
    ) -> None:
        RandomizableTransform.__init__(self, prob)
        self.scale_range = check_range("scale_range", scale_range)
        self.grid_range = check_range("grid_range", grid_range, least=2)
        _check_mode(mode)
        self.resample = Resample(mode=mode, padding_mode=padding_mode, dtype=np.float32)
        self.displacements: np.ndarray | None = None

    def randomize(self, spatial_dims: int) -> None:
        """Draw whether to deform and, if so, the displacements of the grid's points (spatial_dims, *grid)."""
        super().randomize(None)
        if self._do_transform:
            scale = self.R.uniform(*self.scale_range)
            points = self.R.randint(self.grid_range[0], self.grid_range[1] + 1, size=spatial_dims)
            self.displacements = self.R.normal(0.0, scale, size=(spatial_dims, *points))

    def __call__(
        self,
        img: Tensor,
        mode: str | int | None = None,
        padding_mode: str | None = None,
        randomize: bool = True,
    ) -> Tensor:
        """Deform an image.

        Args:
            img: channel first, (C, H, W) or (C, H, W, D), of any size.
            mode: instead of the constructor's.
            padding_mode: instead of the constructor's.
            randomize: whether to draw anew; if not, the last deformation is applied again.

        Returns:
            The deformed image in float32, or ``img`` where nothing is to be done.
        """
        if randomize:
            self.randomize(img.ndim - 1)
        if not self._do_transform:
            return convert_to_tensor(img, track_meta=get_track_meta())
        shape = img.shape[1:]
        size = torch.tensor(shape, dtype=torch.float64).reshape(-1, *[1] * len(shape))
        moved = torch.as_tensor(self.displacements)
        regular = [torch.linspace(0, 1, n, dtype=torch.float64) for n in moved.shape[1:]]
        points = (size * (torch.stack(torch.meshgrid(*regular, indexing="ij")) + moved)).clamp(min=0)
        points = torch.minimum(points, size - 1)
        grid = create_grid(shape, dtype=torch.float64, backend="torch")
        grid[: len(shape)] = interpolate_on_simplices(points, shape) - (size - 1) / 2
        return self.resample(img, grid=grid, mode=mode, padding_mode=padding_mode)


class RandPiecewiseAffined(RandomizableTransform, MapTransform):
    """Apply one random :class:`RandPiecewiseAffine` to several items of a dictionary.

    Args:
        keys: the items, each channel first; their sizes may differ, displacements are relative to the size.
        prob: probability of a deformation, 0 to 1.
        scale_range: as in :class:`RandPiecewiseAffine`.
        grid_range: as in :class:`RandPiecewiseAffine`.
        mode: one for all keys or one for each, for example ``["bilinear", "nearest"]`` for an image and its label.
        padding_mode: one for all keys or one for each.
        allow_missing_keys: whether items may be missing.

    Raises:
        ValueError: if an argument is out of its range.
    """

    backend = RandPiecewiseAffine.backend

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.1,
        scale_range: Sequence[float] = (0.008, 0.03),
        grid_range: Sequence[int] = (2, 4),
        mode: Sequence[str | int] | str | int = "bilinear",
        padding_mode: Sequence[str] | str = "zeros",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.padding_mode = ensure_tuple_rep(padding_mode, len(self.keys))
        for name in self.mode:
            _check_mode(name)
        self.deform = RandPiecewiseAffine(1.0, scale_range, grid_range)

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandPiecewiseAffined:
        """Make the deformations that follow reproducible; returns self."""
        super().set_random_state(seed, state)
        self.deform.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Deform the items; other items are passed on."""
        d = dict(data)
        self.randomize(None)
        present = list(self.key_iterator(d, self.mode, self.padding_mode))
        if self._do_transform and present:
            self.deform.randomize(d[present[0][0]].ndim - 1)
        for key, mode, padding_mode in present:
            if self._do_transform:
                d[key] = self.deform(d[key], mode=mode, padding_mode=padding_mode, randomize=False)
            else:
                d[key] = convert_to_tensor(d[key], track_meta=get_track_meta())
        return d


def interpolate_on_simplices(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Enlarge values on a regular grid piecewise linearly, on Kuhn's triangulation of its cells.

    A cell is cut into one simplex for each order of the coordinates inside of it (Kuhn, 1960, "Some combinatorial
    lemmas in topology"): from the cell's first corner one walks to the last, along the axis of the largest coordinate
    first, and each step adds its coordinate times the difference between the two corners.

    Args:
        values: (channels, *grid), at least 2 points along every axis; the first lie on the first voxels, the last one
            voxel beyond the last ones.
        shape: one size for each axis of the grid.

    Returns:
        (channels, *shape).

    Example:
        >>> interpolate_on_simplices(torch.tensor([[[0.0, 0.0], [0.0, 1.0]]]), (2, 4))
        tensor([[[0.0000, 0.0000, 0.0000, 0.0000],
                 [0.0000, 0.2500, 0.5000, 0.5000]]])
    """
    points = values.shape[1:]
    axes = [torch.arange(size, dtype=values.dtype) * (n - 1) / size for n, size in zip(points, shape, strict=True)]
    cells = [axis.floor().clamp(max=n - 2) for axis, n in zip(axes, points, strict=True)]
    position, corner = (torch.stack(torch.meshgrid(*axis, indexing="ij")) for axis in (axes, cells))
    coordinates, order = (position - corner).sort(dim=0, descending=True)
    corner = corner.long()
    value = result = values[(slice(None), *corner)]
    for coordinate, axis in zip(coordinates, order, strict=True):
        corner = corner + F.one_hot(axis, len(points)).movedim(-1, 0)
        following = values[(slice(None), *corner)]
        result = result + coordinate * (following - value)
        value = following
    return result


def _check_mode(mode: str | int) -> None:
    if isinstance(mode, str):
        look_up_option(mode, GridSampleMode)
