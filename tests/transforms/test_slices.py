"""MSVM-UNet's augmentation of slices, by imgaug's formulas."""

import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import RandSpatialCropd, SqueezeDimd
from scipy import ndimage
from skimage.transform import AffineTransform, warp

from components.transforms import BlurSourceSlicesd, RandSheard, ResizeSlicesd
from tests.bundles.workflow import configs

# imgaug 0.4.0 with scikit-image 0.26: where Affine's shear of 10° moves (x, y), measured.
IMGAUG_SHEAR = np.array([[0.96890885, -0.17632697], [0.17632698, 0.99999994]])


def smooth(shape, seed=0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return torch.from_numpy(noise).float()[None]


def shear_of(degrees):
    t = np.tan(np.radians(degrees))
    return np.array([[1 - t * t, -t], [t, 1]])


@pytest.mark.parametrize("seed", [0, 1])
def test_shear_moves_the_image_as_imgaug_does(seed):
    np.testing.assert_allclose(shear_of(10), IMGAUG_SHEAR, atol=1e-6)
    image = smooth((41, 52))
    shear = RandSheard("image", prob=1.0).set_random_state(seed=seed)
    result = shear({"image": image})["image"][0].numpy()
    linear = shear_of(shear.angle)
    centre = np.array([(52 - 1) / 2, (41 - 1) / 2])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, centre - linear @ centre
    expected = warp(image[0].numpy(), AffineTransform(matrix).inverse, order=1, mode="constant")
    np.testing.assert_allclose(result[4:-4, 4:-4], expected[4:-4, 4:-4], atol=2e-5)
    assert np.abs(result - image[0].numpy()).max() > 0.1


def test_shear_is_drawn_and_shared():
    shear = RandSheard(["image", "label"], prob=0.5, mode=["bilinear", "nearest"]).set_random_state(seed=0)
    label = (smooth((40, 40)) > 0).float() * 3
    angles = []
    for _ in range(200):
        done = shear({"image": label, "label": label})
        angles.append(shear.angle)
        assert set(done["label"].unique().tolist()) <= {0.0, 3.0}
    moved = np.array([angle for angle in angles if angle])
    assert 70 < len(moved) < 130
    assert -16 <= moved.min() < -14
    assert 14 < moved.max() <= 16
    assert ((done["image"] > 1.5) == (done["label"] == 3)).float().mean() > 0.97
    with pytest.raises(ValueError, match="degrees"):
        RandSheard("image", degrees=90)


@pytest.mark.parametrize("size", [[112, 112], [128, 144]])
def test_blur_is_that_of_the_slice_before_it_was_resized(size):
    """Blurred by one pixel and then resized, or the other way round: nearly the same, and not as without a blur."""
    volume = MetaTensor(smooth((256, 256, 1)), affine=torch.eye(4))
    before = MetaTensor(ndimage.gaussian_filter(volume.numpy(), (0, 1, 1, 0), mode="mirror"), affine=torch.eye(4))
    chain = [ResizeSlicesd("image", size), RandSpatialCropd("image", [-1, -1, 1], random_size=False)]
    chain.append(SqueezeDimd("image", dim=-1))
    resized = []
    for image in (volume, before):
        item = {"image": image}
        for step in chain:
            item = step(item)
        resized.append(item["image"])
    blurred = BlurSourceSlicesd("image")({"image": resized[0]})["image"]
    assert isinstance(blurred, MetaTensor)
    inside = (slice(None), slice(2, -2), slice(2, -2))
    error = (blurred - resized[1])[inside].abs().mean()
    assert error < 0.2 * (resized[0] - resized[1])[inside].abs().mean()


def test_blur_of_a_slice_as_it_is():
    image = smooth((30, 40))
    expected = ndimage.gaussian_filter(image[0].numpy(), 1.0, mode="mirror")
    blurred = BlurSourceSlicesd("image", sigma=1.0)({"image": image})["image"]
    np.testing.assert_allclose(blurred[0], expected, atol=0.02)
    flat = torch.full((1, 9, 9), 2.0)
    torch.testing.assert_close(BlurSourceSlicesd("image")({"image": flat})["image"], flat)
    with pytest.raises(ValueError, match="sigma"):
        BlurSourceSlicesd("image", sigma=0)


@pytest.mark.parametrize("bundle", ["msvm_synapse", "msvm_acdc"])
def test_contrast_multiplies_without_clipping(bundle):
    """imgaug's LinearContrast of a float image: 0 + α (x − 0), α from 0.5 to 1.5."""
    config = json.loads((configs(bundle) / "train.json").read_text())["augmentation"]["transforms"][4]
    contrast = ConfigParser({"t": config}).get_parsed_content("t").set_random_state(seed=0)
    image = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(0))
    factors = []
    for _ in range(300):
        ratio = contrast({"image": image})["image"].as_tensor() / image
        assert ratio.std() < 1e-5
        factors.append(ratio.mean().item())
    assert 0.5 <= min(factors) < 0.52
    assert 1.48 < max(factors) <= 1.5
