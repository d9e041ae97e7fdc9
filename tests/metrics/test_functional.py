"""Overlap and surface distances against MedPy and MONAI."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from medpy.metric import binary
from monai.metrics import compute_dice
from monai.metrics.utils import get_edge_surface_distance

from components.metrics import RegionPairs, asd, dice, hd95, image_diagonal, jaccard

SPACINGS = {2: (0.7, 1.9), 3: (0.8, 1.5, 5.0)}


def blobs(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """A few random boxes, which may touch the border of the image; never empty."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, dtype=bool)
    for _ in range(rng.integers(1, 4)):
        start = [rng.integers(0, n) for n in shape]
        mask[tuple(slice(s, s + rng.integers(1, 6)) for s in start)] = True
    return mask


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20), axes=st.sampled_from([2, 3]), spaced=st.booleans())
def test_agrees_with_medpy(seed, axes, spaced):
    shape = (17, 12, 9)[:axes]
    prediction, truth = blobs(seed, shape), blobs(seed + 1, shape)
    spacing = SPACINGS[axes] if spaced else None
    assert dice(prediction, truth) == pytest.approx(binary.dc(prediction, truth), abs=1e-12)
    assert jaccard(prediction, truth) == pytest.approx(binary.jc(prediction, truth), abs=1e-12)
    assert hd95(prediction, truth, spacing) == pytest.approx(binary.hd95(prediction, truth, spacing), abs=1e-9)
    assert asd(prediction, truth, spacing) == pytest.approx(binary.asd(prediction, truth, spacing), abs=1e-9)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_monai_surfaces(seed, axes):
    prediction, truth = (torch.from_numpy(blobs(seed + i * 100, (17, 12, 9)[:axes])) for i in range(2))
    _, distances, _ = get_edge_surface_distance(prediction, truth, spacing=SPACINGS[axes], symmetric=True)
    expected = np.percentile(torch.cat(distances).numpy(), 95)
    assert hd95(prediction.numpy(), truth.numpy(), SPACINGS[axes]) == pytest.approx(expected, abs=1e-5)
    overlap = compute_dice(prediction[None, None].float(), truth[None, None].float(), include_background=True)
    assert dice(prediction.numpy(), truth.numpy()) == pytest.approx(overlap.item(), abs=1e-6)


def test_mask_that_fills_the_image_has_its_surface_at_the_border():
    full, centre = np.ones((9, 9, 9), bool), np.zeros((9, 9, 9), bool)
    centre[4, 4, 4] = True
    assert hd95(full, centre) == binary.hd95(full, centre)
    assert hd95(full, full) == 0


def test_symmetric_and_scales_with_the_spacing():
    a, b = blobs(3, (17, 12, 9)), blobs(4, (17, 12, 9))
    assert hd95(a, b, SPACINGS[3]) == hd95(b, a, SPACINGS[3])
    assert hd95(a, b, (3, 3, 3)) == pytest.approx(3 * hd95(a, b))


def test_single_voxels_are_as_far_apart_as_their_centres():
    a, b = np.zeros((8, 8, 8)), np.zeros((8, 8, 8))
    a[0, 0, 0] = b[0, 3, 4] = 1
    assert hd95(a, b) == 5
    assert hd95(a, b, (1, 2, 3)) == pytest.approx(math.hypot(6, 12))


def test_empty_masks_have_no_value():
    empty, some = np.zeros((5, 5)), blobs(0, (5, 5))
    assert math.isnan(dice(empty, empty))
    assert dice(empty, some) == dice(some, empty) == 0
    assert math.isnan(jaccard(empty, empty))
    assert jaccard(empty, some) == 0
    assert all(math.isnan(f(*pair)) for f in (hd95, asd) for pair in ((empty, empty), (empty, some), (some, empty)))


def test_diagonal_in_voxels_and_mm():
    assert image_diagonal((2, 3, 6)) == 7
    assert image_diagonal((3, 4), (2, 2)) == 10


@pytest.mark.parametrize("function", [dice, hd95, jaccard, asd])
def test_different_shapes_are_named(function):
    with pytest.raises(ValueError, match=r"shape \(4, 4\), the ground truth \(4, 5\)"):
        function(np.ones((4, 4)), np.ones((4, 5)))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 0.0), (1.0, float("nan"))])
def test_spacing_must_fit(spacing):
    with pytest.raises(ValueError, match="2 positive numbers"):
        hd95(np.ones((4, 4)), np.ones((4, 4)), spacing)


@pytest.mark.parametrize(
    ("region", "whole", "without_ignored"),
    [
        ([1], 0.2945205479452055, 0.3467741935483871),
        ([2], 0.29152542372881357, 0.3412698412698413),
        ([1, 2], 0.575809199318569, 0.676),
    ],
)
def test_dice_is_that_of_nnunets_evaluation(region, whole, without_ignored):
    """Numbers of compute_tp_fp_fn_tn of nnU-Net 2.8.1, for a region and with label 3 ignored."""
    i, j, k = np.indices((9, 8, 7))
    item = {
        "label": torch.as_tensor((i * 3 + j * 5 + k * 2) // 4 % 4)[None],
        "pred": torch.as_tensor((i * 5 + j * 3 + k * 7) // 9 % 3)[None],
    }
    for ignored, wanted in ((None, whole), (3, without_ignored)):
        (prediction,), (truth,) = RegionPairs([region], ignored)([item])
        assert dice(prediction.numpy(), truth.numpy()) == pytest.approx(wanted, abs=1e-9)
