"""Transforms of single channels and of stacks of slices."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    RandFlip,
    RandGaussianSmooth,
    RandScaleIntensity,
    RandSimulateLowResolution,
    RandZoom,
    SpatialCrop,
)

from components.transforms import PerChanneld, RandChannelwised


def test_each_channel_by_its_own_chance_and_numbers():
    image = torch.ones(3, 2, 2)
    scale = RandChannelwised("image", RandScaleIntensity(0.5, prob=1.0), prob=0.2, channel_prob=0.5)
    scale.set_random_state(seed=0)
    counts = np.zeros(4, int)
    for _ in range(4000):
        changed = (scale({"image": image})["image"] != image).flatten(1).any(1)
        counts[int(changed.sum())] += 1
    # Binomial of three channels within the fifth of all images that is treated.
    np.testing.assert_allclose(counts / 4000, [0.8 + 0.2 / 8, 0.2 * 3 / 8, 0.2 * 3 / 8, 0.2 / 8], atol=0.02)


def test_channels_get_different_numbers():
    image = torch.rand(1, 12, 12).repeat(2, 1, 1)
    blur = RandChannelwised("image", RandGaussianSmooth(prob=1.0), prob=1.0).set_random_state(seed=0)
    first, second = blur({"image": image})["image"]
    assert not torch.equal(first, second)


def test_channel_is_what_the_transform_alone_makes_of_it():
    image = torch.rand(2, 10, 12)
    flip = RandChannelwised("image", RandFlip(prob=1.0, spatial_axis=1), prob=1.0).set_random_state(seed=0)
    assert torch.equal(flip({"image": image})["image"], image.flip(2))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_low_resolution_leaves_the_slices_apart(axis):
    """A slice of another brightness than its neighbours keeps it, and all slices get the same resolution."""
    volume = torch.rand(1, 10, 12, 14, generator=torch.Generator().manual_seed(0))
    volume.select(axis + 1, 4).fill_(100.0)
    volume.select(axis + 1, 6).copy_(volume.select(axis + 1, 7))
    coarse = RandSimulateLowResolution(prob=1.0, upsample_mode="bicubic", zoom_range=(0.5, 0.5))
    result = RandChannelwised("image", coarse, prob=1.0, slice_axis=axis)({"image": volume})["image"]
    torch.testing.assert_close(result.select(axis + 1, 4), volume.select(axis + 1, 4))
    assert torch.equal(result.select(axis + 1, 6), result.select(axis + 1, 7))
    assert result.select(axis + 1, 5).max() < 2
    assert not torch.allclose(result, volume)


def test_reproducible_inside_a_compose_and_metadata():
    image = MetaTensor(torch.rand(2, 8, 8), affine=torch.diag(torch.tensor([2.0, 3.0, 1.0, 1.0])))
    chain = Compose([RandChannelwised("image", RandGaussianSmooth(prob=1.0), prob=0.5, channel_prob=0.5)])
    runs = []
    for _ in range(2):
        chain.set_random_state(seed=5)
        runs.append([chain({"image": image})["image"] for _ in range(20)])
    assert all(torch.equal(*pair) for pair in zip(*runs, strict=True))
    assert all(isinstance(result, MetaTensor) and torch.equal(result.affine, image.affine) for result in runs[0])
    assert not all(torch.equal(result, image) for result in runs[0])


def test_input_is_not_changed_in_place():
    image = torch.rand(1, 8, 8)
    before = image.clone()
    RandChannelwised("image", RandFlip(prob=1.0), prob=1.0)({"image": image})
    assert torch.equal(image, before)


def test_wrong_use():
    with pytest.raises(ValueError, match="channel_prob"):
        RandChannelwised("image", RandZoom(), channel_prob=2)
    crop = SpatialCrop(roi_start=[0, 0], roi_end=[4, 4])
    with pytest.raises(ValueError, match=r"SpatialCrop made \(1, 4, 4\) of \(1, 8, 8\)"):
        RandChannelwised("image", crop, prob=1.0)({"image": torch.rand(1, 8, 8)})


def test_each_channel_gets_its_transforms():
    image = torch.arange(24.0).reshape(3, 2, 4)
    found = PerChanneld("image", [lambda x: x + 1, [lambda x: 2 * x, lambda x: x - 3], []])(
        {"image": image, "other": 1}
    )
    torch.testing.assert_close(found["image"], torch.stack([image[0] + 1, 2 * image[1] - 3, image[2]]))
    assert found["other"] == 1
    with pytest.raises(ValueError, match="image has 2 channels, but PerChanneld has transforms for 3"):
        PerChanneld("image", [[], [], []])({"image": image[:2]})
    with pytest.raises(ValueError, match="the transform of channel 1 of image changed its shape"):
        PerChanneld("image", [[], lambda x: x[..., :1]])({"image": image[:2]})
