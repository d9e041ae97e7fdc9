"""The augmentation of the xLSTM bundles: how often and how far each operation goes, by the numbers of nnU-Net v2."""

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from batchgenerators.augmentations.color_augmentations import augment_gamma
from batchgenerators.augmentations.noise_augmentations import augment_gaussian_blur
from batchgenerators.augmentations.resample_augmentations import augment_linear_downsampling_scipy
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose
from scipy import stats

BUNDLES = Path(__file__).parents[2] / "bundles"


def augmentation(bundle):
    """The list of transforms in a bundle's training configuration, with the sizes that it refers to."""
    config = json.loads((BUNDLES / bundle / "configs" / "train.json").read_text())
    text = json.dumps(config["augmentation"]["transforms"])
    for size in ("patch_size", "augmented_size"):
        text = text.replace(f'"@{size}"', json.dumps(config[size]))
    return json.loads(text)


ENDOSCOPY, CELLS, MRI = "xlstm_endoscopy", "xlstm_cells", "xlstm_abdomen_mri_3d"
CHAINS = {bundle: augmentation(bundle) for bundle in (ENDOSCOPY, CELLS, MRI)}
ORDER = [
    "RandPatchd", "RandRotateScaled", "RandGaussianNoised", "RandBlur", "RandScaleIntensityd",
    "RandScaleIntensityFixedMeand", "RandLowResolution", "RandGamma", "RandGamma",
]  # fmt: skip
DRAWS = 1000


@pytest.fixture(params=list(CHAINS))
def any_name(request):
    return request.param


@pytest.fixture(params=[ENDOSCOPY, MRI])
def name(request):
    """Cells have the intensities of endoscopy."""
    assert CHAINS[CELLS][2:] == CHAINS[ENDOSCOPY][2:]
    return request.param


def built(name, place):
    transform = ConfigParser({"t": CHAINS[name][place]}).get_parsed_content("t")
    return transform.set_random_state(seed=0)


def image(name, size=12, seed=0):
    channels, axes = (1, 3) if name == MRI else (3, 2)
    return torch.randn(channels, *[size] * axes, generator=torch.Generator().manual_seed(seed))


def results(name, place, picture, draws=DRAWS):
    transform = built(name, place)
    for _ in range(draws):
        yield transform, transform({"image": picture})["image"].as_tensor()


def changed_channels(result, picture):
    return (result != picture).flatten(1).any(1)


def assert_frequency(count, draws, expected):
    """Within the interval that a right frequency leaves once in ten thousand times."""
    assert stats.binomtest(int(count), draws, expected).pvalue > 1e-4, f"{count} of {draws}, expected {expected}"


def assert_uniform(values, low, high):
    assert min(values) >= low - 1e-6
    assert max(values) <= high + 1e-6
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-4


def assert_around_one(values, low, high):
    """Uniform below 1 and above it, with half of the values on either side."""
    below, above = [v for v in values if v < 1], [v for v in values if v >= 1]
    assert_frequency(len(below), len(values), 0.5)
    assert_uniform(below, low, 1)
    assert_uniform(above, 1, high)


def test_order(any_name):
    names = [t.get("transform", t)["_target_"].split(".")[-1] for t in CHAINS[any_name]]
    flips = 3 if any_name == MRI else 2
    assert names == ORDER + ["RandFlipd"] * flips
    inverted = [t["transform"]["invert_image"] for t in CHAINS[any_name] if "RandGamma" in str(t)]
    assert inverted == [True, False]


def test_whole_chain(any_name):
    """From an image and its label to a patch of the network's size, in place with one another, and repeatable."""
    size = CHAINS[any_name][1]["spatial_size"]
    shape = [n + 7 for n in size[:-1]] + [size[-1] - 5]
    label = torch.zeros(1, *shape)
    label[(0, *(slice(n // 3, n // 2) for n in shape))] = 2
    channels = 1 if any_name == MRI else 3
    item = {
        "image": MetaTensor(label.repeat(channels, *[1] * len(shape))),
        "label": MetaTensor(label),
        "foreground": True,
    }
    chain = Compose(ConfigParser({"t": CHAINS[any_name]}).get_parsed_content("t"))
    runs = [chain.set_random_state(seed=1)(item) for _ in range(2)]
    assert torch.equal(runs[0]["image"], runs[1]["image"])
    assert runs[0]["image"].shape == (channels, *size)
    assert runs[0]["label"].shape == (1, *size)
    assert set(runs[0]["label"].unique().tolist()) == {0, 2}
    inside, outside = (runs[0]["image"][:1][runs[0]["label"] == k].mean() for k in (2, 0))
    assert inside > outside + 1


def test_rotation_and_scaling(any_name):
    transform = built(any_name, 1)
    angles, scales = [], []
    for _ in range(DRAWS):
        transform.randomize(len(transform.spatial_size))
        angles += [] if transform.angles is None else [np.degrees(transform.angles)]
        scales += [] if transform.scale is None else [transform.scale]
    assert_frequency(len(angles), DRAWS, 0.2)
    assert_frequency(len(scales), DRAWS, 0.2)
    limit = 15 if any_name == ENDOSCOPY else 180
    assert np.shape(angles)[1] == 1  # in the plane
    assert_uniform(np.ravel(angles), -limit, limit)
    assert_around_one(scales, 0.7, 1.4)


def test_patch_is_cut_with_a_margin_for_the_rotation(any_name):
    """nnU-Net's size: the patch turned by at most 90°, through 0.85."""
    cut, size = CHAINS[any_name][0]["spatial_size"], CHAINS[any_name][1]["spatial_size"]
    assert CHAINS[any_name][0]["inner_size"] == size
    angle = np.radians(min(CHAINS[any_name][1]["degrees"], 90))
    turned = np.abs(size[-2:] @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))
    expected = (np.maximum(turned, size[-2:]) / 0.85).astype(int)
    assert cut[-2:] == expected.tolist()
    assert cut[:-2] == size[:-2]


def test_noise(name):
    picture = image(name, 16)
    spreads = [(r - picture).std().item() for _, r in results(name, 2, picture) if not torch.equal(r, picture)]
    assert_frequency(len(spreads), DRAWS, 0.1)
    assert stats.kstest(spreads, stats.uniform(0, 0.1).cdf).pvalue > 1e-4


def test_blur(name):
    """With batchgenerators' blur of the same width."""
    picture, times, channels, widths = image(name, 8), 0, 0, []
    for transform, result in results(name, 3, picture):
        changed = changed_channels(result, picture)
        channels += int(changed.sum())
        times += bool(changed.any())
        if changed[-1]:
            widths.append(transform.transform.width)
            expected = augment_gaussian_blur(picture[-1:].numpy().copy(), (widths[-1], widths[-1]))
            np.testing.assert_allclose(result[-1:], expected, atol=1e-5)
    assert_frequency(channels, DRAWS * len(picture), 0.1)
    assert_frequency(times, DRAWS, 0.2 * (1 - 0.5 ** len(picture)))
    assert_uniform(widths, 0.5, 1.0)


def test_brightness(name):
    picture, factors, times = image(name), [], 0
    for _, result in results(name, 4, picture):
        ratios = (result / picture).flatten(1)
        assert ratios.std(1).max() < 1e-3
        times += not torch.equal(result, picture)
        factors += ratios.mean(1).tolist() if not torch.equal(result, picture) else []
    assert_frequency(times, DRAWS, 0.15)
    assert len(factors) == times * len(picture)
    assert_uniform(factors, 0.75, 1.25)


def test_contrast(name):
    picture, factors, times = image(name), [], 0
    for _, result in results(name, 5, picture):
        if torch.equal(result, picture):
            continue
        times += 1
        for before, after in zip(picture, result, strict=True):
            assert after.min() >= before.min() - 1e-5
            assert after.max() <= before.max() + 1e-5
            factors.append(((after - before.mean()) / (before - before.mean())).median().item())
    assert_frequency(times, DRAWS, 0.15)
    assert len(factors) == times * len(picture)
    assert_uniform(np.round(factors, 4), 0.75, 1.25)


def test_low_resolution(name):
    """With batchgenerators' low resolution of the same zoom; from 11.5 of 12 pixels on nothing changes."""
    picture, channels, times, zooms = image(name), 0, 0, []
    for transform, result in results(name, 6, picture):
        changed = changed_channels(result, picture)
        channels += int(changed.sum())
        times += bool(changed.any())
        if changed[-1]:
            zooms.append(transform.transform.zoom)
        if changed[-1] and len(zooms) <= 20:
            expected = augment_linear_downsampling_scipy(
                picture[-1:].numpy().copy(), (zooms[-1], zooms[-1]), order_downsample=0, order_upsample=3,
                ignore_axes=(0,) if name == MRI else None,
            )  # fmt: skip
            np.testing.assert_allclose(result[-1:], expected, atol=2e-5)
    visible = (11.5 / 12 - 0.5) / 0.5
    assert_frequency(channels, DRAWS * len(picture), 0.25 * 0.5 * visible)
    assert_frequency(times, DRAWS, 0.25 * (1 - (1 - 0.5 * visible) ** len(picture)))
    assert_uniform(zooms, 0.5, 11.5 / 12)


@pytest.mark.parametrize(("place", "prob", "sign"), [(7, 0.1, -1), (8, 0.3, 1)], ids=["inverted", "plain"])
def test_gamma(name, place, prob, sign):
    picture, gammas, times = image(name), [], 0
    for transform, result in results(name, place, picture):
        if torch.equal(result, picture):
            continue
        times += 1
        gammas.append(transform.transform.gamma_value)
        if times > 20:
            continue
        with mock.patch("numpy.random.uniform", return_value=gammas[-1]):
            last = augment_gamma(
                picture[-1:].numpy().copy(), invert_image=sign < 0, per_channel=True, retain_stats=True
            )
        np.testing.assert_allclose(result[-1:], last, atol=2e-5)
    assert_frequency(times, DRAWS, prob)
    assert_around_one(gammas, 0.7, 1.5)


def test_mirror(name):
    picture = image(name, 4)
    for axis in range(picture.ndim - 1):
        transform = built(name, 9 + axis)
        assert transform.keys == ("image", "label")
        flipped = sum(
            torch.equal(transform({"image": picture, "label": picture})["image"], picture.flip(axis + 1))
            for _ in range(DRAWS)
        )
        assert_frequency(flipped, DRAWS, 0.5)
