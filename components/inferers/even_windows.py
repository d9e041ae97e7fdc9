"""Sliding windows as nnU-Net's: evenly spread, blended by a Gaussian that falls to almost nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.utils import BlendMode, PytorchPadMode, ensure_tuple_rep, fall_back_tuple, look_up_option
from scipy import ndimage
from torch import Tensor
from tqdm import tqdm

CPU_VOXELS = 2**20
"""Voxels that a network sees at once on a CPU, unless a single window has more.

More windows at once take as long as one after the other there, but the memory of all their maps. A GPU computes them
faster together.
"""


class EvenWindowInferer(SlidingWindowInferer):
    """MONAI's ``SlidingWindowInferer`` with the windows and the weights of nnU-Net (Isensee et al., 2021).

    - The windows of an axis are spread evenly, at most ``roi_size · (1 − overlap)`` apart: windows of 48 see 100 voxels
      from 0, 17, 35 and 52 on. MONAI's have a fixed distance, and the last window alone is moved inward.
    - The Gaussian's peak is the voxel ``n // 2`` of a window of ``n``, and nothing is added to its small values. MONAI
      raises all weights below a thousandth of the peak to that, which is more than half of a window in 3D.

    Both are products over the axes. So each window's share in a voxel is known beforehand, the shares of a voxel add up
    to 1 wherever it lies, and outputs are summed in place in float32, with no map of counts and no division. No answer
    is kept while the network is at the next one.

    Args:
        roi_size: size of a window; an axis of -1 takes all of the image. With one axis less than the images, each slice
            along ``slice_axis`` is an image.
        sw_batch_size: number of windows, of one image or of several, that the network sees at once; on a CPU fewer if
            they are large, see :data:`CPU_VOXELS`.
        overlap: least overlap of two windows, as a part of their size, one for all axes or one for each.
        mode: "gaussian", or "constant" for the same weight everywhere.
        sigma_scale: standard deviation of the Gaussian, as a part of the window's size.
        slice_axis: spatial axis of the slices, used where a window has one axis less than the images.
        kwargs: further arguments of MONAI's class, which mean what they mean there: padding_mode, cval, sw_device,
            device, progress, cpu_thresh, buffer_steps, buffer_dim, with_coord.

    Raises:
        ValueError: if ``overlap`` is not from 0 to below 1; while it runs, if axes of images and windows do not fit, or
            the network's output is not of the window's size.
        TypeError: while it runs, if the network answers with anything but one tensor.

    Example:
        >>> infer = EvenWindowInferer(roi_size=[4, 4], overlap=0.5, mode="gaussian")
        >>> image = torch.rand(1, 1, 9, 7)
        >>> torch.allclose(infer(image, network=lambda x: 2 * x), 2 * image)
        True
    """

    def __init__(
        self,
        roi_size: Sequence[int] | int,
        sw_batch_size: int = 1,
        overlap: Sequence[float] | float = 0.5,
        mode: BlendMode | str = BlendMode.GAUSSIAN,
        sigma_scale: Sequence[float] | float = 0.125,
        slice_axis: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(roi_size, sw_batch_size, overlap, mode, sigma_scale, **kwargs)
        if not all(0 <= part < 1 for part in np.atleast_1d(overlap)):
            raise ValueError(f"overlap must be from 0 to below 1, got {overlap}")
        self.slice_axis = slice_axis

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Run the network on all windows and blend what it says.

        Args:
            inputs: batch × channels × spatial axes.
            network: what sees windows, batch × channels × roi_size, and answers with one tensor of their size. With
                ``with_coord`` its second argument are the slices of the windows.
            args: further arguments of the network.
            kwargs: further arguments of the network; ``device``, ``buffer_steps`` and ``buffer_dim`` are taken instead
                of the constructor's.

        Returns:
            batch × channels of the output × spatial axes, in float32, or float64 where the network answers so.
        """
        if "condition" in kwargs:
            raise TypeError("condition is not cut into windows: use MONAI's SlidingWindowInferer for it")
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        if isinstance(self.roi_size, int) or len(self.roi_size) != plain.ndim - 3:
            result = self._blend(plain, network, args, kwargs)
        else:
            axis = 2 + self.slice_axis % (plain.ndim - 2)
            slices = plain.movedim(axis, 1)
            result = self._blend(slices.flatten(0, 1), network, args, kwargs)
            result = result.unflatten(0, slices.shape[:2]).movedim(1, axis)
        if isinstance(inputs, MetaTensor):
            result = MetaTensor(result).copy_meta_from(inputs, copy_attr=False)
        return result

    def _blend(self, inputs: Tensor, network: Callable[..., Tensor], args: Sequence[Any], kwargs: dict) -> Tensor:
        device, sw_device = self._devices(inputs, kwargs.pop("device", self.device))
        buffer_steps = kwargs.pop("buffer_steps", self.buffer_steps)
        buffer_dim = kwargs.pop("buffer_dim", self.buffer_dim)
        padded, roi, inside = self._padded(inputs)
        axes = [
            _Axis(n, r, 1 - overlap, sigma)
            for n, r, overlap, sigma in zip(
                padded.shape[2:], roi, self._each("overlap", roi), self._sigmas(roi), strict=True
            )
        ]
        tiles = [range(len(axis.starts)) for axis in axes]
        at_once = windows_at_once(self.sw_batch_size, roi, sw_device.type)
        result: Tensor | None = None
        count = len(padded) * math.prod(map(len, tiles))
        with tqdm(total=count, disable=not self.progress) as bar:
            for part in _parts(tiles, buffer_dim, buffer_steps):
                corner = [axis.starts[tile[0]] for axis, tile in zip(axes, part, strict=True)]
                extent = [
                    axis.starts[tile[-1]] + axis.roi - c for axis, tile, c in zip(axes, part, corner, strict=True)
                ]
                place = (slice(None), slice(None), *map(slice, corner, map(sum, zip(corner, extent, strict=True))))
                target: Tensor | None = None
                for windows in _batches(itertools.product(range(len(padded)), *part), at_once):
                    slices = [_slices(axes, window, [0] * len(axes)) for window in windows]
                    data = torch.cat([padded[s] for s in slices]).to(sw_device)
                    output = self._answer(network(data, *([slices] if self.with_coord else []), *args, **kwargs), data)
                    del data
                    if result is None:
                        dtype = torch.promote_types(output.dtype, torch.float32)
                        result = torch.zeros(
                            len(padded), output.shape[1], *padded.shape[2:], dtype=dtype, device=device
                        )
                    if target is None:
                        target = result[place]
                        if buffer_steps:
                            target = torch.zeros_like(target, device=sw_device)
                    for number, window in enumerate(windows):
                        seen = target[_slices(axes, window, corner)][0]
                        _add(seen, output[number], [axis.shares[n] for axis, n in zip(axes, window[1:], strict=True)])
                    del output  # before the network computes the next one
                    bar.update(len(windows))
                if buffer_steps and target is not None and result is not None:
                    result[place] += target.to(device)
        assert result is not None  # an image has at least one window
        return result[(slice(None), slice(None), *inside)]

    def _devices(self, inputs: Tensor, device: torch.device | str | None) -> tuple[torch.device, torch.device]:
        if device is None and self.cpu_thresh is not None and math.prod(inputs.shape[2:]) > self.cpu_thresh:
            device = "cpu"
        return torch.device(device or inputs.device), torch.device(self.sw_device or inputs.device)

    def _padded(self, inputs: Tensor) -> tuple[Tensor, tuple[int, ...], list[slice]]:
        """The images, at least as large as a window; the window's size; and where the images lie in them."""
        shape = tuple(inputs.shape[2:])
        if not isinstance(self.roi_size, int) and len(self.roi_size) != len(shape):
            raise ValueError(
                f"windows of {tuple(self.roi_size)} need images with {len(self.roi_size)} spatial axes, but these have "
                f"the shape {tuple(inputs.shape)}: batch × channels × spatial axes"
            )
        roi = fall_back_tuple(self.roi_size, shape)
        before = [max(r - n, 0) // 2 for n, r in zip(shape, roi, strict=True)]
        after = [max(r - n, 0) - b for n, r, b in zip(shape, roi, before, strict=True)]
        if any(after):
            edges = [edge for pair in zip(before[::-1], after[::-1], strict=True) for edge in pair]
            mode = look_up_option(self.padding_mode, PytorchPadMode)
            inputs = F.pad(inputs, edges, mode=mode, value=self.cval)
        return inputs, roi, [slice(b, b + n) for b, n in zip(before, shape, strict=True)]

    def _each(self, name: str, roi: Sequence[int]) -> tuple[float, ...]:
        return ensure_tuple_rep(getattr(self, name), len(roi))

    def _sigmas(self, roi: Sequence[int]) -> list[float]:
        """Width of the Gaussian along each axis in voxels; 0 for equal weights."""
        gaussian = self.mode == BlendMode.GAUSSIAN
        return [n * scale if gaussian else 0.0 for n, scale in zip(roi, self._each("sigma_scale", roi), strict=True)]

    @staticmethod
    def _answer(output: Any, data: Tensor) -> Tensor:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"sliding windows need a network that answers with one tensor, not {type(output).__name__}: "
                "call network.eval() first, or take one of its outputs"
            )
        if output.shape[2:] != data.shape[2:] or len(output) != len(data):
            raise ValueError(
                f"the network made {tuple(output.shape)} of windows of {tuple(data.shape)}: sliding windows need an "
                "output of the size of the input"
            )
        return output.as_tensor() if isinstance(output, MetaTensor) else output


def even_starts(size: int, roi: int, step: float) -> list[int]:
    """First voxels of the windows along an axis, evenly spread over all of it.

    Args:
        size: number of voxels, at least that of a window.
        roi: number of voxels of a window.
        step: largest distance of two windows, as a part of a window.

    Example:
        >>> even_starts(100, 48, 0.5), even_starts(48, 48, 0.5)
        ([0, 17, 35, 52], [0])
    """
    count = math.ceil((size - roi) / max(roi * step, 1)) + 1
    return [round((size - roi) / max(count - 1, 1) * n) for n in range(count)]


def windows_at_once(most: int, roi: Sequence[int], device_type: str) -> int:
    """Number of windows that a network gets at once.

    Args:
        most: what is asked for.
        roi: size of a window.
        device_type: where the network runs: "cpu", "cuda" or another.

    Example:
        >>> windows_at_once(4, (48, 160, 224), "cuda"), windows_at_once(4, (48, 160, 224), "cpu")
        (4, 1)
    """
    return max(1, min(most, CPU_VOXELS // math.prod(roi))) if device_type == "cpu" else most


class _Axis:
    """The windows along an axis, and which share each of them has in the voxels that it sees."""

    def __init__(self, size: int, roi: int, step: float, sigma: float) -> None:
        self.roi = roi
        self.starts = even_starts(size, roi, step)
        weight = np.ones(roi)
        if sigma:
            peak = (np.arange(roi) == roi // 2).astype(np.float64)
            weight = ndimage.gaussian_filter1d(peak, sigma, mode="constant")
            weight[weight == 0] = weight[weight > 0].min()  # beyond four widths
        total = np.zeros(size)
        for start in self.starts:
            total[start : start + roi] += weight
        self.shares = [torch.from_numpy(weight / total[start : start + roi]) for start in self.starts]


def _slices(axes: Sequence[_Axis], window: Sequence[int], corner: Sequence[int]) -> tuple[slice, ...]:
    """Where a window, the number of an image and those of its tiles, lies in images that begin at ``corner``."""
    starts = [axis.starts[n] - c for axis, n, c in zip(axes, window[1:], corner, strict=True)]
    places = [slice(start, start + axis.roi) for axis, start in zip(axes, starts, strict=True)]
    return slice(window[0], window[0] + 1), slice(None), *places


def _add(target: Tensor, output: Tensor, shares: Sequence[Tensor]) -> None:
    """Add a window's output, channels × roi, times its shares along the axes to ``target``, which may be elsewhere."""
    weight = torch.ones((), dtype=target.dtype, device=output.device)
    for share in shares:  # a line of numbers goes to the device, not the map
        weight = weight[..., None] * share.to(weight)
    if target.device == output.device:
        target.addcmul_(output.to(target.dtype), weight)
    else:
        target += (output * weight).to(target)


def _parts(tiles: Sequence[range], dim: int, steps: int | None) -> Iterator[list[range]]:
    """Tiles along each axis, all at once, or some along one axis at a time."""
    if not steps:
        yield list(tiles)
        return
    if not -len(tiles) <= dim < len(tiles):
        raise ValueError(f"buffer_dim must be one of the {len(tiles)} spatial axes, got {dim}")
    for first in range(0, len(tiles[dim]), steps):
        part = list(tiles)
        part[dim] = tiles[dim][first : first + steps]
        yield part


def _batches(windows: Iterator[tuple[int, ...]], size: int) -> Iterator[list[tuple[int, ...]]]:
    while batch := list(itertools.islice(windows, size)):
        yield batch
