"""Random changes of an image's values and sharpness, as nnU-Net draws them; each works on one channel or a stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data.meta_obj import get_track_meta
from monai.transforms import RandAdjustContrast, RandomizableTransform
from monai.utils import convert_to_dst_type, convert_to_numpy, convert_to_tensor
from scipy import ndimage
from torch import Tensor

from ..validation import check_range
from .resample import resize


def draw_around_one(random: np.random.RandomState, low: float, high: float) -> float:
    """A factor from ``low`` to ``high``: as often below 1 as above it, uniform on either side.

    A uniform draw from 0.7 to 1.5 is above 1 in five of eight cases; this one in half of them.
    """
    if high <= 1 or (low < 1 and random.random() < 0.5):
        return random.uniform(low, min(high, 1.0))
    return random.uniform(max(low, 1.0), high)


class RandGamma(RandAdjustContrast):
    """MONAI's ``RandAdjustContrast`` with an exponent that is as often below 1 as above it.

    Arguments are those of ``RandAdjustContrast``. Source: the augmentation of nnU-Net (Isensee et al., 2021).

    Example:
        >>> change = RandGamma(prob=1.0, gamma=(0.7, 1.5), retain_stats=True).set_random_state(seed=0)
        >>> change(torch.rand(1, 8, 8)).shape
        torch.Size([1, 8, 8])
    """

    def randomize(self, data: None = None) -> None:
        """Draw whether to change the image and, if so, ``gamma_value``."""
        RandomizableTransform.randomize(self, None)
        if self._do_transform:
            self.gamma_value = draw_around_one(self.R, *self.gamma)


class RandBlur(RandomizableTransform):
    """Blur an image with a Gaussian of one random width along all axes; the image is reflected at its border.

    MONAI's ``RandGaussianSmooth`` draws a width for each axis, and takes what is outside of the image as 0, which
    darkens the border. Source: the augmentation of nnU-Net (Isensee et al., 2021).

    Args:
        prob: probability of a blur.
        sigma: smallest and largest standard deviation in pixels.

    Raises:
        ValueError: if ``sigma`` is not two numbers, 0 ≤ low ≤ high.

    Example:
        >>> bool((RandBlur(prob=1.0, sigma=(1.0, 1.0))(torch.full((1, 4, 4), 3.0)) == 3).all())
        True
    """

    def __init__(self, prob: float = 0.1, sigma: Sequence[float] = (0.5, 1.0)) -> None:
        super().__init__(prob)
        self.sigma = check_range("sigma", sigma)
        self.width: float | None = None

    def __call__(self, img: Tensor) -> Tensor:
        """Blur each channel of ``img``, (C, H, W) or (C, H, W, D), with the same width."""
        self.randomize(None)
        img = convert_to_tensor(img, track_meta=get_track_meta())
        if not self._do_transform:
            return img
        self.width = self.R.uniform(*self.sigma)
        values = convert_to_numpy(img)
        blurred = ndimage.gaussian_filter(values, self.width, axes=range(1, values.ndim))
        return convert_to_dst_type(blurred, img)[0]


class RandLowResolution(RandomizableTransform):
    """Give an image the look of a lower resolution: fewer pixels by nearest neighbours, enlarged by cubic splines.

    MONAI's ``RandSimulateLowResolution`` enlarges with PyTorch's interpolation, which has no splines. The result stays
    in the range of the fewer pixels. Source: the augmentation of nnU-Net (Isensee et al., 2021).

    Args:
        prob: probability of a change.
        zoom_range: smallest and largest part of the pixels that are left along each axis; one number is drawn for all.

    Raises:
        ValueError: if ``zoom_range`` is not two numbers, 0 ≤ low ≤ high.

    Example:
        >>> RandLowResolution(prob=1.0, zoom_range=(0.5, 0.5))(torch.rand(1, 8, 8)).shape
        torch.Size([1, 8, 8])
    """

    def __init__(self, prob: float = 0.1, zoom_range: Sequence[float] = (0.5, 1.0)) -> None:
        super().__init__(prob)
        self.zoom_range = check_range("zoom_range", zoom_range)
        self.zoom: float | None = None

    def __call__(self, img: Tensor) -> Tensor:
        """Change ``img``, (C, H, W) or (C, H, W, D), all channels alike."""
        self.randomize(None)
        img = convert_to_tensor(img, dtype=torch.float32, track_meta=get_track_meta())
        if not self._do_transform:
            return img
        self.zoom = self.R.uniform(*self.zoom_range)
        plain = convert_to_tensor(img, track_meta=False)
        fewer = result = resize(plain, [max(1, round(n * self.zoom)) for n in img.shape[1:]], "nearest")
        for axis, size in enumerate(img.shape[1:], start=1):
            if fewer.shape[axis] != size:
                matrix = _spline_matrix(fewer.shape[axis], size).to(result)
                result = torch.tensordot(matrix, result, dims=([1], [axis])).movedim(0, axis)
        return convert_to_dst_type(result.clamp(fewer.min(), fewer.max()), img)[0]


def _spline_matrix(before: int, after: int) -> Tensor:
    """What ``scipy.ndimage.zoom(order=3, mode="nearest", grid_mode=True)`` makes of each of ``before`` pixels of a row.

    The zoom is linear and treats each axis separately, so that the rows of an image need a product of matrices only.
    """
    margin = 12  # as SciPy's
    coefficients = ndimage.spline_filter1d(np.pad(np.eye(before), ((margin, margin), (0, 0)), "edge"), axis=0)
    place = (np.arange(after) + 0.5) * before / after - 0.5 + margin
    first = np.floor(place).astype(int)
    t = (place - first)[:, None]
    s = 1 - t
    weights = s**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * s**2 + 3 * s**3) / 6, t**3 / 6
    coefficients[np.abs(coefficients) < 1e-12] = 0  # denormal numbers would slow the products down
    return torch.from_numpy(sum(weight * coefficients[first + n - 1] for n, weight in enumerate(weights)))
