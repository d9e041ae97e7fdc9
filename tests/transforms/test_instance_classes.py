"""Instance maps as classes and back, and 8-bit images, against scikit-image."""

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from skimage import exposure, measure, morphology, segmentation

from components.transforms import (
    InstancesToInteriord,
    InteriorToInstancesd,
    PercentilesToUint8d,
    instances_of,
    interior_boundary,
)


def cells(seed, shape=(60, 70), number=25):
    """Discs of several sizes, some touching, some cut by the border."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    instances = np.zeros(shape, np.int32)
    for name in range(1, number + 1):
        r, c = (rng.integers(0, n) for n in shape)
        instances[(rows - r) ** 2 + (columns - c) ** 2 <= rng.integers(2, 9) ** 2] = name * 3
    return instances


@pytest.mark.parametrize("min_size", [1, 16, 40])
@pytest.mark.parametrize("seed", range(4))
def test_classes_agree_with_skimage(seed, min_size):
    instances = cells(seed)
    boundary = morphology.dilation(segmentation.find_boundaries(instances, mode="inner"), morphology.disk(1))
    pieces = measure.label((instances > 0) & ~boundary, connectivity=1)
    expected = np.where(boundary, 2, 0)
    for piece in measure.regionprops(pieces):
        if piece.area >= min_size:
            expected[tuple(piece.coords.T)] = 1
    np.testing.assert_array_equal(interior_boundary(instances, min_size), expected)


@pytest.mark.parametrize("seed", range(4))
def test_decoded_instances_agree_with_skimage(seed):
    classes = np.random.default_rng(seed).integers(0, 3, (30, 40))
    expected = measure.label(classes == 1, connectivity=2)
    decoded = instances_of(classes)
    assert decoded.max() == expected.max()
    pairs = np.unique(np.stack([decoded.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == decoded.max() + 1  # the same pieces, whatever they are called


def test_touching_cells_are_apart_after_the_way_there_and_back():
    instances = np.zeros((20, 30), int)
    instances[4:16, 3:15], instances[4:16, 15:27] = 7, 9
    decoded = instances_of(interior_boundary(instances))
    assert decoded.max() == 2
    for name, box in ((7, np.s_[6:14, 5:13]), (9, np.s_[6:14, 17:25])):
        assert (decoded[box] == decoded[box][0, 0]).all()
        assert (decoded == decoded[box][0, 0]).sum() == 64, name


@pytest.mark.parametrize("seed", range(4))
def test_instances_grow_as_those_of_skimage(seed):
    classes = interior_boundary(cells(seed), min_size=1)
    pieces = instances_of(classes)
    grown = instances_of(classes, grow=2)
    expected = segmentation.expand_labels(pieces, distance=2)
    np.testing.assert_array_equal(grown != 0, (expected != 0) & (classes != 0))
    tied = grown != expected
    assert np.all(tied[grown != 0].mean() < 0.05)  # pixels as far from one piece as from another
    np.testing.assert_array_equal(grown[classes == 1], pieces[classes == 1])


@pytest.mark.parametrize("min_size", [1, 5, 20])
def test_small_pieces_are_left_out_before_they_grow(min_size):
    classes = interior_boundary(cells(5), min_size=1)
    pieces = instances_of(classes)
    expected = morphology.remove_small_objects(pieces, max_size=min_size - 1)
    decoded = instances_of(classes, min_size=min_size)
    np.testing.assert_array_equal(decoded != 0, expected != 0)
    assert sorted(np.unique(decoded)) == list(range(decoded.max() + 1))
    grown = instances_of(classes, min_size=min_size, grow=2)
    assert grown.max() == decoded.max()


def test_touching_cells_get_their_pixels_back():
    instances = np.zeros((20, 30), int)
    instances[4:16, 3:15], instances[4:16, 15:27] = 7, 9
    grown = instances_of(interior_boundary(instances), grow=2)
    for name, box in ((7, np.s_[6:14, 5:13]), (9, np.s_[6:14, 17:25])):
        found, wanted = grown == grown[box][0, 0], instances == name
        assert (found & wanted).sum() / (found | wanted).sum() > 0.9


def test_volumes_too():
    instances = np.zeros((9, 9, 9), int)
    instances[1:8, 1:8, 1:8] = 1
    classes = interior_boundary(instances, min_size=27)
    assert (classes == 1).sum() == 27
    assert instances_of(classes).max() == 1


def colours(seed):
    image = np.random.default_rng(seed).gamma(2.0, 300.0, (3, 40, 50)).astype(np.uint16)
    image[:, :15] = 0
    return image


@pytest.mark.parametrize("seed", range(3))
def test_percentiles_agree_with_skimage(seed):
    image = colours(seed)
    result = PercentilesToUint8d("image", lower=2, upper=95)({"image": torch.from_numpy(image.astype(np.float32))})
    for channel, actual in zip(image, result["image"], strict=True):
        low, high = np.percentile(channel[channel > 0], [2, 95])
        expected = exposure.rescale_intensity(channel.astype(float), in_range=(low, high), out_range="uint8")
        assert actual.dtype == torch.uint8
        np.testing.assert_array_equal(actual.numpy(), expected.astype(np.uint8))


def test_flat_channels_are_only_clipped():
    image = torch.stack([torch.zeros(4, 4), torch.full((4, 4), 7.0), torch.full((4, 4), 300.0)])
    result = PercentilesToUint8d("image")({"image": image})["image"]
    assert [int(channel.unique()) for channel in result] == [0, 7, 255]


def test_dictionary_transforms():
    instances = cells(0)
    label = MetaTensor(torch.from_numpy(instances[None]), meta={"filename_or_obj": "a.png"})
    out = InstancesToInteriord("label", min_size=4)({"label": label, "other": 1})
    np.testing.assert_array_equal(out["label"][0].numpy(), interior_boundary(instances, 4))
    assert out["label"].meta["filename_or_obj"] == "a.png"
    assert out["label"].dtype == torch.uint8
    back = InteriorToInstancesd("label")(out)["label"]
    np.testing.assert_array_equal(back[0].numpy(), instances_of(out["label"][0].numpy()))
    assert isinstance(back, MetaTensor)
    assert out["other"] == 1


def test_more_instances_than_a_byte_holds():
    classes = torch.zeros(1, 60, 60)
    classes[:, ::2, ::2] = 1
    assert InteriorToInstancesd("pred")({"pred": classes})["pred"].max() == 900


def test_from_a_configuration():
    config = [
        {"_target_": f"components.transforms.{name}", "keys": "label"}
        for name in ("InstancesToInteriord", "InteriorToInstancesd", "PercentilesToUint8d")
    ]
    assert len(ConfigParser({"t": config}).get_parsed_content("t")) == 3


def test_wrong_percentiles():
    with pytest.raises(ValueError, match="0 ≤ lower < upper ≤ 100"):
        PercentilesToUint8d("image", lower=99, upper=1)
