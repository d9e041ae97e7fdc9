"""Normalised surface distance against MONAI's and against areas that are known."""

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_surface_dice
from scipy import ndimage

from components.metrics import nsd

SPACINGS = {2: (0.7, 1.9), 3: (0.8, 1.5, 4.0)}


def blob(seed, shape):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2) > 0.02


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_monai(seed, tolerance, axes):
    shape = (19, 16, 11)[:axes]
    prediction, truth = blob(seed, shape), np.roll(blob(seed, shape), 2, axis=0)
    masks = (torch.from_numpy(mask[None, None]) for mask in (prediction, truth))
    expected = compute_surface_dice(
        *masks, [tolerance], include_background=True, spacing=SPACINGS[axes], use_subvoxels=True
    )
    assert nsd(prediction, truth, tolerance, SPACINGS[axes]) == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "spacing", "shift", "tolerance", "expected"),
    [
        # What surface-distance 0.1, the implementation of the metric's authors, gives.
        ((40, 50, 1), (1, 1, 1), 1, 0.5, 0.9215405704),
        ((15, 20, 12), (1.2, 0.8, 4.0), 3, 2.0, 0.8495857800),
        ((20, 30), (1.0, 2.0), 2, 1.0, 0.6416963633),
    ],
)
def test_agrees_with_the_reference_implementation(shape, spacing, shift, tolerance, expected):
    axes = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    truth = sum(np.sin(axis / (2.0 + i)) for i, axis in enumerate(axes)) > 0.7
    assert nsd(np.roll(truth, shift, 0), truth, tolerance, spacing) == pytest.approx(expected, abs=1e-6)


def test_a_distance_up_to_the_tolerance_counts_as_none():
    truth, prediction = np.zeros((30, 60), bool), np.zeros((30, 60), bool)
    truth[10:20, 10:40] = prediction[10:20, 10:45] = True
    assert nsd(prediction, truth, tolerance=5) == 1
    assert nsd(prediction, truth, tolerance=4.9) < 1
    assert nsd(prediction, truth, tolerance=5, spacing=(1, 1.1)) < 1


def test_empty_masks():
    some, empty = blob(0, (9, 9)), np.zeros((9, 9), bool)
    assert nsd(some, empty, 1) == nsd(empty, some, 1) == 0
    assert math.isnan(nsd(empty, empty, 1))


def test_a_slice_as_a_volume_has_its_area_as_surface():
    """Then the contour's share is small: a shift by 5 pixels hardly shows."""
    truth = np.zeros((80, 80), bool)
    truth[20:60, 20:60] = True
    prediction = np.roll(truth, 5, 0)
    assert nsd(prediction, truth, 2) < 0.75
    assert nsd(prediction[..., None], truth[..., None], 2) > 0.93
