"""The published rules, on published plans and on cases computed by hand."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.new.topology import (
    SMALLEST_MAP,
    augmented_size,
    degrees,
    first_patch,
    is_anisotropic,
    resampled_median,
    smaller,
    supervision_weights,
    target_spacing,
    topology,
)
from tests.bundles.workflow import configs

PLANS = {
    "xlstm_abdomen_mri_3d": (3.0, 1.19, 1.19),
    "xlstm_endoscopy": (1.0, 1.0),
    "xlstm_cells": (1.0, 1.0),
}


@pytest.mark.parametrize(("bundle", "pixdim"), PLANS.items())
def test_the_patch_of_a_published_plan_gets_its_stages(bundle, pixdim):
    config = json.loads((configs(bundle) / "train.json").read_text())
    found = topology(pixdim, config["patch_size"])
    plan = config["network_def"]
    assert list(found.features) == plan["features"]
    for ours, published in ((found.strides, plan["strides"]), (found.kernel_sizes, plan["kernel_sizes"])):
        assert [list(v) for v in ours] == [[v] * len(pixdim) if isinstance(v, int) else v for v in published]
    assert list(found.patch_size) == config["patch_size"]
    assert list(augmented_size(found.patch_size)) == config["augmented_size"]
    assert list(supervision_weights(len(found.strides))) == config["loss"]["weights"]


def test_the_published_patches_are_among_those_that_are_tried():
    for pixdim, median, wanted in (
        ((3.0, 1.19, 1.19), (60, 200, 280), (48, 160, 224)),
        ((1.0, 1.0), (1080, 1920), (384, 640)),
    ):
        found, tried = topology(pixdim, first_patch(pixdim, median)), []
        while found is not None:
            tried.append(found.patch_size)
            found = smaller(pixdim, found, median)
        assert wanted in tried
        assert all(math.prod(a) > math.prod(b) for a, b in itertools.pairwise(tried))


def test_target_spacing():
    isotropic = [[1.0, 0.8, 0.8], [1.5, 0.9, 0.9], [2.0, 1.0, 1.0]]
    assert target_spacing(isotropic, [[100, 200, 200]] * 3) == (1.5, 0.9, 0.9)
    # Thick slices, and few of them: the 10th percentile of 4, 6, 8, 10, 12 is 4.8.
    thick = [[s, 1.0, 1.0] for s in (4.0, 6.0, 8.0, 10.0, 12.0)]
    assert target_spacing(thick, [[20, 200, 200]] * 5) == pytest.approx((4.8, 1.0, 1.0))
    # Many slices: the median stays.
    assert target_spacing(thick, [[70, 200, 200]] * 5) == (8.0, 1.0, 1.0)
    # Not finer than the coarsest of the other axes.
    assert target_spacing([[0.5, 2.0, 2.0], *[[9.0, 2.0, 2.0]] * 2], [[20, 200, 200]] * 3)[0] == pytest.approx(2.2)
    assert target_spacing([[0.5, 2.0, 2.0]] * 2 + [[9.0, 2.0, 2.0]] * 3, [[20, 200, 200]] * 5)[0] == 2.0 + 1e-5


def test_median_after_resampling():
    assert resampled_median([[2.0, 1.0], [1.0, 1.0], [1.0, 2.0]], [[10, 10]] * 3, [1.0, 1.0]) == (10, 10)
    assert resampled_median([[3.0, 0.5]], [[20, 101]], [1.5, 1.0]) == (40, 50)


def test_first_patch_is_a_cube_in_mm():
    patch = first_patch([4.0, 1.0, 1.0], [10_000] * 3)
    assert patch == (102, 406, 406)  # 256³ voxels of 4 × 1 × 1 mm are a cube with an edge of 406.4 mm
    assert first_patch([1.0, 1.0], [3000, 100]) == (2048, 100)


def test_coarse_axis_is_not_halved_and_has_kernels_of_one():
    found = topology((5.0, 1.0, 1.0), (16, 128, 128))
    # 5 / 1 and 5 / 2 are 2 or more, 5 / 4 is not: two strides and kernels without the first axis.
    assert found.strides[:4] == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert found.kernel_sizes[:3] == ((1, 3, 3), (1, 3, 3), (3, 3, 3))


def test_patch_is_padded_to_its_strides():
    assert topology((1.0, 1.0), (100, 72)).patch_size == (112, 80)


@pytest.mark.parametrize(
    ("pixdim", "patch"), [((1.0,) * 3, (5, 6, 7)), ((1.0,) * 2, (3, 9)), ((9.0, 1.0, 1.0), (3, 4, 4))]
)
def test_tiny_images_get_two_stages(pixdim, patch):
    found = topology(pixdim, patch)
    assert len(found.strides) >= 2
    assert all(a >= b for a, b in zip(found.patch_size, patch, strict=True))


@given(
    st.lists(st.floats(0.3, 8.0), min_size=2, max_size=3),
    st.lists(st.integers(4, 400), min_size=3, max_size=3),
)
def test_every_topology_fits_its_patch(pixdim, patch):
    found = topology(pixdim, patch[: len(pixdim)])
    assert len(found.strides) == len(found.kernel_sizes) >= 2
    for size, divisor in zip(found.patch_size, found.divisor, strict=True):
        assert size % divisor == 0
        assert divisor == 1 or size // divisor >= SMALLEST_MAP
    assert set(found.strides[0]) == {1}


@pytest.mark.parametrize(
    ("patch", "angle", "flat", "size"),
    [
        ((512, 512), 180, False, (602, 602)),
        ((384, 640), 15, False, (631, 752)),
        ((400, 600), 180, False, (705, 705)),  # 1.5 is not over 1.5
        ((48, 160, 224), 180, True, (48, 263, 263)),
        # cos 30° + sin 30° is 1.366, divided by 0.85 it is 1.607.
        ((128, 128, 128), 30, False, (205, 205, 205)),
    ],
)
def test_rotation_and_its_margin(patch, angle, flat, size):
    assert degrees(patch) == angle
    assert is_anisotropic(patch) == flat
    assert augmented_size(patch) == size


def test_weights_of_two_stages_leave_a_loss():
    assert supervision_weights(2) == (1.0,)
    assert supervision_weights(3) == (1.0, 0.0)
