"""Transforms that treat every channel, or every stack of slices, separately."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.meta_obj import get_track_meta
from monai.transforms import MapTransform, Randomizable, RandomizableTransform
from monai.utils import MAX_SEED, convert_to_tensor
from torch import Tensor


class RandChannelwised(RandomizableTransform, MapTransform):
    """Apply a transform of MONAI to some channels of an image, with other random numbers in each.

    nnU-Net blurs an image with one probability and each of its channels with another. With ``slice_axis`` the transform
    gets a two-dimensional image whose channels are the slices, so that a random transform treats all slices alike and
    leaves the slice axis alone.

    Args:
        keys: the images, each channel first.
        transform: a transform of an array, such as MONAI's ``RandGaussianSmooth``, with probability 1; it gets and
            gives an image of one channel, or of slices, and keeps its shape.
        prob: probability that anything is done to an image.
        channel_prob: probability of each channel, where something is done.
        slice_axis: spatial axis of the slices; None gives whole channels to the transform.
        allow_missing_keys: whether items may be missing.

    Raises:
        ValueError: if a probability is not in 0 to 1; when called, if the transform changes a channel's shape.

    Example:
        >>> from monai.transforms import RandGaussianSmooth
        >>> blur = RandChannelwised("image", RandGaussianSmooth(prob=1.0), prob=0.2, channel_prob=0.5)
        >>> blur.set_random_state(seed=0)({"image": torch.rand(3, 8, 8)})["image"].shape
        torch.Size([3, 8, 8])
    """

    def __init__(
        self,
        keys: KeysCollection,
        transform: Callable[[Tensor], Tensor],
        prob: float = 0.1,
        channel_prob: float = 1.0,
        slice_axis: int | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        if not 0 <= channel_prob <= 1:
            raise ValueError(f"channel_prob must be a probability from 0 to 1, got {channel_prob}")
        self.transform = transform
        self.channel_prob = channel_prob
        self.slice_axis = slice_axis

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandChannelwised:
        """Make what follows reproducible, the inner transform included; returns self."""
        super().set_random_state(seed, state)
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed=self.R.randint(MAX_SEED, dtype="uint32"))
        return self

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Transform the images; other items are passed on.

        Returns:
            A dictionary with the images in float32.
        """
        d = dict(data)
        self.randomize(None)
        for key in self.key_iterator(d):
            img = convert_to_tensor(d[key], dtype=torch.float32, track_meta=get_track_meta())
            d[key] = self._apply(img) if self._do_transform else img
        return d

    def _apply(self, img: Tensor) -> Tensor:
        plain = img.as_tensor() if isinstance(img, MetaTensor) else img
        result = img.clone()
        for index in np.flatnonzero(self.R.random(len(img)) < self.channel_prob).tolist():
            channel = plain[index]
            stack = channel[None] if self.slice_axis is None else channel.movedim(self.slice_axis, 0)
            changed = convert_to_tensor(self.transform(stack), track_meta=False)
            if changed.shape != stack.shape:
                raise ValueError(
                    f"{type(self.transform).__name__} made {tuple(changed.shape)} of {tuple(stack.shape)}: "
                    "RandChannelwised needs a transform that keeps the shape"
                )
            result[index] = changed[0] if self.slice_axis is None else changed.movedim(0, self.slice_axis)
        return result


class PerChanneld(MapTransform):
    """Apply a transform of its own to each channel of an image, such as the normalisation of CT and that of PET.

    Args:
        keys: the images, each channel first.
        transforms: for each channel a transform of an array, which gets and gives an image of one channel and keeps its
            shape; or a list of such, one after another.
        allow_missing_keys: whether items may be missing.

    Raises:
        ValueError: when called, if an image has another number of channels, or a transform changes a channel's shape.

    Example:
        >>> from monai.transforms import NormalizeIntensity, ScaleIntensityRange
        >>> window = ScaleIntensityRange(a_min=-100, a_max=300, b_min=0, b_max=1, clip=True)
        >>> PerChanneld("image", [window, NormalizeIntensity()])({"image": torch.rand(2, 8, 8)})["image"].shape
        torch.Size([2, 8, 8])
    """

    def __init__(
        self,
        keys: KeysCollection,
        transforms: Sequence[Callable[[Tensor], Tensor] | Sequence[Callable[[Tensor], Tensor]]],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transforms = [list(steps) if isinstance(steps, (list, tuple)) else [steps] for steps in transforms]

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Transform the images; other items are passed on.

        Returns:
            A dictionary with the images in float32.
        """
        d = dict(data)
        for key in self.key_iterator(d):
            image = convert_to_tensor(d[key], dtype=torch.float32, track_meta=get_track_meta())
            if len(image) != len(self.transforms):
                raise ValueError(
                    f"{key} has {len(image)} channels, but PerChanneld has transforms for {len(self.transforms)}"
                )
            plain = image.as_tensor() if isinstance(image, MetaTensor) else image
            result = image.clone()
            for index, steps in enumerate(self.transforms):
                channel = plain[index : index + 1]
                for step in steps:
                    channel = convert_to_tensor(step(channel), track_meta=False)
                if channel.shape[1:] != plain.shape[1:]:
                    raise ValueError(f"the transform of channel {index} of {key} changed its shape")
                result[index] = channel[0]
            d[key] = result
        return d
