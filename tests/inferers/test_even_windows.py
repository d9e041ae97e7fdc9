"""Sliding windows against nnU-Net's own predictor, and against MONAI's where both do the same."""

import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from components.inferers import EvenWindowInferer, MirrorInferer
from components.inferers.even_windows import CPU_VOXELS, even_starts, windows_at_once

# Made by nnUNetPredictor.predict_sliding_window_return_logits of nnunetv2 2.8.1, with float32 instead of half, of
# np.random.default_rng(0).random((1, *shape)) and the network below.
MEASURED = np.load(Path(__file__).parent / "nnunet_sliding_window.npz")
CASES = {"volume": ((13, 20, 23), (8, 9, 12)), "slices": ((3, 31, 40), (12, 17)), "small": ((5, 9, 30), (8, 12, 16))}


def network(x):
    """Says something else of a voxel in every window."""
    return torch.cat([x.cumsum(-1) / x.shape[-1], x.flip(-2).cumsum(-2) + x], 1)


def case(name):
    shape, roi = CASES[name]
    image = torch.from_numpy(np.random.default_rng(0).random((1, *shape))).float()[None]
    return image, {"roi_size": roi}


@pytest.mark.parametrize("sw_batch_size", [1, 4])
@pytest.mark.parametrize("name", CASES)
def test_equals_the_predictor_of_nnunet(name, sw_batch_size):
    image, arguments = case(name)
    result = EvenWindowInferer(**arguments, sw_batch_size=sw_batch_size)(image, network)
    np.testing.assert_allclose(result[0], MEASURED[name], atol=1e-5)
    if name == "volume":
        monais = SlidingWindowInferer(arguments["roi_size"], overlap=0.5, mode="gaussian")(image, network)
        assert np.abs(monais[0].numpy() - MEASURED[name]).max() > 0.1  # the oracle sees the difference


def test_starts_are_those_of_nnunet():
    """Measured with nnunetv2 2.8.1's compute_steps_for_sliding_window."""
    assert even_starts(100, 48, 0.5) == [0, 17, 35, 52]
    assert even_starts(1080, 384, 0.5) == [0, 174, 348, 522, 696]
    assert even_starts(17, 17, 0.5) == [0]
    assert even_starts(300, 160, 0.5) == [0, 70, 140]
    assert even_starts(33, 32, 0.25) == [0, 1]
    expected = [0, 5, 10, 14, 19, 24, 29, 33, 38, 43, 48, 52, 57, 62, 67, 71, 76, 81]
    assert even_starts(101, 20, 0.25) == expected


@pytest.mark.parametrize("mode", ["gaussian", "constant"])
@pytest.mark.parametrize("sigma_scale", [0.125, 0.02])
def test_shares_add_up_to_one(mode, sigma_scale):
    """Also at the corners, and where a narrow Gaussian is 0 in half of its window."""
    image = torch.rand(2, 3, 31, 45)
    infer = EvenWindowInferer([16, 16], 3, mode=mode, sigma_scale=sigma_scale)
    torch.testing.assert_close(infer(image, lambda x: x), image, atol=1e-6, rtol=1e-6)


def plain_formula(image, roi, starts):
    """The mean of all windows in float64, each weighted by the product of Gaussians, written out with a count map."""
    weight = torch.ones((), dtype=torch.float64)
    for n in roi:
        voxels = torch.arange(n, dtype=torch.float64)
        weight = weight[..., None] * torch.exp(-0.5 * ((voxels - n // 2) / (n * 0.125)) ** 2)
    total, count = 0, torch.zeros(image.shape[2:], dtype=torch.float64)
    for place in starts:
        where = (..., *(slice(start, start + n) for start, n in zip(place, roi, strict=True)))
        product = torch.zeros(1, 2, *image.shape[2:], dtype=torch.float64)
        product[where] = network(image[where]).double() * weight
        total, count[where] = total + product, count[where] + weight
    return (total / count).float()


def test_equals_the_plain_formula():
    """Windows of 6 lie within four widths of the Gaussian, where nnU-Net's ends: 4 · 0.125 · 6 = 3 voxels."""
    image = torch.rand(1, 1, 9, 8)
    expected = plain_formula(image, (6, 6), [(a, b) for a in (0, 3) for b in (0, 2)])
    torch.testing.assert_close(EvenWindowInferer([6, 6], 3)(image, network), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("most", "roi", "device_type", "expected"),
    [
        (2, (48, 160, 224), "cpu", 1),
        (2, (48, 160, 224), "cuda", 2),
        (16, (48, 160, 224), "mps", 16),
        (8, (512, 512), "cpu", 4),
        (3, (512, 512), "cpu", 3),
        (2, (CPU_VOXELS,), "cpu", 1),
        (2, (CPU_VOXELS // 2,), "cpu", 2),
    ],
)
def test_large_windows_one_by_one_on_a_cpu(most, roi, device_type, expected):
    assert windows_at_once(most, roi, device_type) == expected


def test_windows_of_a_call(monkeypatch):
    """Of 2 images with 3 windows; no answer is there any more when the network computes the next one."""
    sizes, answers = [], []

    def seen(x):
        assert [answer for answer in answers if answer() is not None] == []
        sizes.append(len(x))
        y = x * 2
        answers.append(weakref.ref(y))
        return y

    image = torch.rand(2, 1, 8, 16)
    for most, expected in ((CPU_VOXELS, [4, 2]), (3 * 64, [3, 3]), (2 * 64 - 1, [1] * 6), (1, [1] * 6)):
        monkeypatch.setattr("components.inferers.even_windows.CPU_VOXELS", most)
        sizes.clear()
        torch.testing.assert_close(EvenWindowInferer([8, 8], 4)(image, seen), 2 * image)
        assert sizes == expected


def test_equals_monais_where_windows_and_weights_are_the_same():
    image = torch.rand(2, 1, 24, 32)
    ours = EvenWindowInferer([8, 8], 5, mode="constant")(image, network)
    monais = SlidingWindowInferer([8, 8], 5, overlap=0.5, mode="constant")(image, network)
    torch.testing.assert_close(ours, monais)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    """Corners of a window in 3D have 4e-11 of the peak's weight, which is 0 in float16."""
    image = torch.rand(1, 1, 16, 16, 16) * 1000
    result = EvenWindowInferer([8, 8, 8], 4)(image, lambda x: x.to(dtype))
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, image.to(dtype).float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("arguments", [{"buffer_steps": 1, "buffer_dim": 0}, {"buffer_steps": 2}, {"device": "cpu"}])
@pytest.mark.parametrize("name", CASES)
def test_buffers_and_devices_change_nothing(arguments, name):
    image, where = case(name)
    plain = EvenWindowInferer(**where, sw_batch_size=2)(image, network)
    torch.testing.assert_close(EvenWindowInferer(**where, sw_batch_size=2, **arguments)(image, network), plain)
    torch.testing.assert_close(EvenWindowInferer(**where, sw_batch_size=3)(image, network, **arguments), plain)


def test_metadata_coordinates_mirrors_and_progress(capsys):
    image = MetaTensor(torch.rand(2, 1, 9, 9), affine=torch.eye(4) * 2)
    seen = []

    def located(x, slices):
        seen.extend(slices)
        return x

    result = EvenWindowInferer([-1, 6], 2, with_coord=True, progress=True)(image, located)
    assert isinstance(result, MetaTensor)
    assert torch.equal(result.affine, image.affine)
    places = sorted((s[0].start, s[2].start, s[2].stop, s[3].start, s[3].stop) for s in seen)
    assert places == [(0, 0, 9, 0, 6), (0, 0, 9, 3, 9), (1, 0, 9, 0, 6), (1, 0, 9, 3, 9)]
    assert "4/4" in capsys.readouterr().err
    mirrored = MirrorInferer(EvenWindowInferer([6, 6]), axes=[0, 1])
    torch.testing.assert_close(mirrored(image, lambda x: x).as_tensor(), image.as_tensor())


def test_wrong_arguments_and_networks():
    image = torch.rand(1, 1, 9, 9)
    with pytest.raises(ValueError, match="overlap"):
        EvenWindowInferer([4, 4], overlap=1.0)
    turned, along = torch.rand(1, 1, 6, 7, 3), EvenWindowInferer([4, 4], slice_axis=-1)
    torch.testing.assert_close(along(turned, lambda x: x), turned)
    with pytest.raises(ValueError, match="3 spatial axes"):
        EvenWindowInferer([4, 4, 4])(image, network)
    with pytest.raises(ValueError, match="buffer_dim"):
        EvenWindowInferer([4, 4], buffer_steps=1, buffer_dim=2)(image, network)
    with pytest.raises(TypeError, match=r"network\.eval"):
        EvenWindowInferer([4, 4])(image, lambda x: [x, x])
    with pytest.raises(ValueError, match="output of the size"):
        EvenWindowInferer([4, 4])(image, lambda x: x[..., ::2])
    with pytest.raises(TypeError, match="condition"):
        EvenWindowInferer([4, 4])(image, network, condition=image)
