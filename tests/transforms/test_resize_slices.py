"""Resizing slices: SciPy's spline interpolation, without what rounding does to the last row."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from components.transforms import ResizeSlices, ResizeSlicesd


@pytest.mark.parametrize("order", [0, 1, 3])
def test_the_last_row_is_the_images_and_the_rest_is_scipys(order):
    """At 512 to 224 SciPy's own last row and column are 0, as rounding puts them outside the image."""
    image = np.random.default_rng(0).random((1, 512, 512)) + 1
    resized = ResizeSlices([224, 224], order=order)(torch.from_numpy(image))
    expected = ndimage.zoom(image[0], (224 / 512, 224 / 512), order=order)
    assert not expected[-1].any()
    np.testing.assert_array_equal(resized[0, :-1, :-1], expected[:-1, :-1])
    np.testing.assert_allclose(resized[0, [0, 0, -1, -1], [0, -1, 0, -1]], image[0, [0, 0, -1, -1], [0, -1, 0, -1]])


def test_the_inverse_restores_size_affine_and_labels():
    image = MetaTensor(torch.arange(4 * 6 * 2.0).reshape(1, 4, 6, 2), affine=np.diag([2.0, 3.0, 4.0, 1.0]))
    transform = ResizeSlicesd("image", [8, 12], order=0)
    resized = transform({"image": image})
    assert resized["image"].shape == (1, 8, 12, 2)
    # The corner pixels stay where they are: 3 · 2 mm in 7 steps, 5 · 3 mm in 11 steps.
    np.testing.assert_allclose(np.diag(resized["image"].affine), [6 / 7, 15 / 11, 4, 1])
    restored = transform.inverse(resized)["image"]
    assert torch.equal(restored, image)
    np.testing.assert_allclose(restored.affine, image.affine)
