"""The label map of a previous stage: what is done to it in a training, and how it becomes channels."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from components.transforms import AppendOneHotd, RandMorphologyd, RandRemoveComponentd
from components.transforms import previous_stage as operators

SHAPE = (13, 17, 11)
CORNERS = np.ones((3, 3, 3))


def blobs(seed, shape=SHAPE):
    """A mask with several parts, some of them at the border."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.2)
    return noise > np.quantile(noise, 0.75)


def labels_of(seed):
    labels = np.zeros(SHAPE, np.uint8)
    for number in (1, 2, 3):
        labels[blobs(seed + number)] = number
    return labels


def ball(radius, dims=3):
    reach = int(radius)
    grid = np.mgrid[(slice(-reach, reach + 1),) * dims]
    return (grid**2).sum(0) <= radius**2


@pytest.mark.parametrize("radius", [1, 1.5, 2, 3.7, 8])
@pytest.mark.parametrize("shape", [SHAPE, (23, 19)])
def test_operators_are_those_of_a_ball_with_nothing_outside(radius, shape):
    mask, element = blobs(0, shape), ball(radius, len(shape))
    grown = ndimage.binary_dilation(mask, element)
    shrunk = ndimage.binary_erosion(mask, element, border_value=1)
    assert mask.any()
    np.testing.assert_array_equal(operators.dilation(mask, radius), grown)
    np.testing.assert_array_equal(operators.erosion(mask, radius), shrunk)
    np.testing.assert_array_equal(operators.opening(mask, radius), ndimage.binary_dilation(shrunk, element))
    closed = ndimage.binary_erosion(grown, element, border_value=1)
    np.testing.assert_array_equal(operators.closing(mask, radius), closed)


@pytest.mark.parametrize("operator", operators.OPERATORS)
def test_nothing_and_everything_stay(operator):
    for mask in (np.zeros(SHAPE, bool), np.ones(SHAPE, bool)):
        np.testing.assert_array_equal(operator(mask, 2.0), mask)


class OneHot:
    """nnU-Net's rule on one-hot channels: a label that grows leaves the others, and none comes where it shrinks."""

    def __init__(self, labels):
        self.channels = {number: labels == number for number in (1, 2, 3)}

    def apply(self, number, operator, radius):
        before = self.channels[number]
        after = operator(before, radius)
        for other in self.channels:
            self.channels[other] = self.channels[other] & ~(after & ~before)
        self.channels[number] = after

    @property
    def labels(self):
        assert sum(channel.astype(int) for channel in self.channels.values()).max() <= 1
        return sum(number * channel for number, channel in self.channels.items())


def test_the_map_stays_what_its_channels_would_be():
    transform = RandMorphologyd("previous", [1, 2, 3], prob=1.0, radius=(1, 3)).set_random_state(seed=3)
    for seed in range(6):
        labels = labels_of(seed)
        state = transform.R.get_state()
        item = transform({"previous": torch.tensor(labels[None]), "image": 7})
        drawn = np.random.RandomState()
        drawn.set_state(state)
        drawn.rand()
        expected = OneHot(labels)
        for number in drawn.permutation([1, 2, 3]):
            expected.apply(number, operators.OPERATORS[drawn.randint(4)], drawn.uniform(1, 3))
        assert item["image"] == 7
        assert item["previous"].dtype == torch.uint8
        np.testing.assert_array_equal(item["previous"][0], expected.labels)


def changed(transform, draws=300):
    labels = torch.tensor(labels_of(0)[None])
    transform.set_random_state(seed=0)
    return np.mean([not torch.equal(transform({"p": labels})["p"], labels) for _ in range(draws)])


def test_how_often_something_is_done():
    assert changed(RandMorphologyd("p", [1, 2, 3])) == pytest.approx(0.4, abs=0.09)
    assert changed(RandRemoveComponentd("p", [1, 2, 3])) == pytest.approx(0.2, abs=0.07)


def test_one_small_component_of_each_label_goes():
    labels = labels_of(5)
    transform = RandRemoveComponentd("previous", [1, 2, 3], prob=1.0, largest=0.02).set_random_state(seed=0)
    gone = []
    for _ in range(40):
        left = transform({"previous": torch.tensor(labels[None])})["previous"][0].numpy()
        assert ((left == labels) | (left == 0)).all()
        for number in (1, 2, 3):
            removed = (labels == number) & (left != number)
            components, count = ndimage.label(labels == number, CORNERS)
            small = [n for n in range(1, count + 1) if (components == n).sum() < 0.02 * labels.size]
            assert len(small) < count or number > 1  # one is too large
            if small:
                (which,) = np.unique(components[removed])
                assert which in small
                np.testing.assert_array_equal(removed, components == which)
                gone.append((number, which))
            else:
                assert not removed.any()
    assert len(set(gone)) > 4


def test_channels_of_labels_come_after_those_of_the_image():
    labels = labels_of(1)[None]
    image = MetaTensor(torch.rand(2, *SHAPE), affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))
    item = AppendOneHotd("image", "previous", [3, 1])({"image": image, "previous": MetaTensor(labels), "label": 5})
    assert item.keys() == {"image", "label"}
    assert torch.equal(item["image"].affine, image.affine)
    assert torch.equal(item["image"][:2], image)
    np.testing.assert_array_equal(item["image"][2:], np.concatenate([labels == 3, labels == 1]).astype(np.float32))


@pytest.mark.parametrize(
    ("kind", "words", "told"),
    [
        (RandMorphologyd, {"radius": (3, 2)}, "radius must be two numbers"),
        (RandRemoveComponentd, {"largest": 2}, "largest must be a part of the voxels from 0 to 1, got 2"),
    ],
)
def test_arguments_out_of_range(kind, words, told):
    with pytest.raises(ValueError, match=told):
        kind("previous", [1], **words)
