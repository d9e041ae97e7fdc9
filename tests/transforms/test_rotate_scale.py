"""Rotation and scaling against SimpleITK, and how often and how far they go."""

import math
from unittest import mock

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from batchgenerators.augmentations.spatial_transformations import augment_spatial
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import CenterSpatialCrop
from scipy import ndimage
from scipy.spatial.transform import Rotation

from components.transforms import RandRotateScaled

SHAPES = {2: (45, 52), 3: (14, 19, 16)}


def smooth(shape, channels=1, seed=0):
    noise = np.random.default_rng(seed).normal(size=(channels, *shape))
    return torch.from_numpy(np.stack([ndimage.gaussian_filter(c, 1.5) for c in noise])).float()


def transform(**arguments):
    defaults = {"keys": ["image"], "rotate_prob": 1.0, "scale_prob": 1.0}
    return RandRotateScaled(**{**defaults, **arguments}).set_random_state(seed=3)


def simple_itk(image, matrix, interpolator):
    """Look up at matrix · (x − centre) + centre, zero outside; axes of the matrix as in the array."""
    picture = sitk.GetImageFromArray(image)
    move = sitk.AffineTransform(image.ndim)
    move.SetCenter([(n - 1) / 2 for n in image.shape[::-1]])
    move.SetMatrix(matrix[::-1, ::-1].ravel().tolist())
    return sitk.GetArrayFromImage(sitk.Resample(picture, picture, move, interpolator, 0.0, sitk.sitkFloat64))


def in_plane(angle):
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def inside(matrix, shape, margin):
    """Voxels whose place in the source is not at its border, where conventions for what is outside differ."""
    centre = (np.array(shape) - 1) / 2
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1) - centre
    places = voxels @ matrix.T + centre
    return ((places > margin) & (places < np.array(shape) - 1 - margin)).all(-1)


@pytest.mark.parametrize(
    ("mode", "interpolator", "margin", "tolerance"),
    [
        ("bilinear", sitk.sitkLinear, 0, 1e-4),
        (3, sitk.sitkBSpline, 8, 1e-4),
        ("nearest", sitk.sitkNearestNeighbor, 0, 0),
    ],
)
def test_plane_agrees_with_simple_itk(mode, interpolator, margin, tolerance):
    image = smooth(SHAPES[2])
    augment = transform(degrees=180, mode=mode)
    result = augment({"image": image})["image"][0].numpy()
    matrix = in_plane(augment.angles[0]) * augment.scale
    where = inside(matrix, SHAPES[2], margin)
    expected = simple_itk(image[0].numpy(), matrix, interpolator)
    assert where.sum() > 100
    np.testing.assert_allclose(result[where], expected[where], atol=tolerance)
    outside = ~inside(matrix, SHAPES[2], -1)
    assert not result[outside].any()


def test_volume_agrees_with_simple_itk():
    image = smooth(SHAPES[3])
    augment = transform(degrees=30)
    result = augment({"image": image})["image"][0].numpy()
    matrix = Rotation.from_euler("xyz", augment.angles).as_matrix() * augment.scale
    where = inside(matrix, SHAPES[3], 0)
    expected = simple_itk(image[0].numpy(), matrix, sitk.sitkLinear)
    np.testing.assert_allclose(result[where], expected[where], atol=1e-4)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", 3, "nearest"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_slices_move_alike_and_stay_in_their_slice(axis, mode):
    volume = smooth(SHAPES[3], channels=2)
    augment = transform(degrees=180, slice_axis=axis, mode=mode)
    result = augment({"image": volume})["image"]
    angles, scale = augment.angles, augment.scale
    for index in range(volume.movedim(axis if axis < 0 else axis + 1, 1).shape[1]):
        plane = volume.select(axis if axis < 0 else axis + 1, index)
        flat = transform(degrees=180, mode=mode)
        expected = flat({"image": plane})["image"]
        assert flat.angles == angles
        assert flat.scale == scale
        actual = result.select(axis if axis < 0 else axis + 1, index)
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)
    assert not torch.allclose(result, volume, atol=0.01)


@pytest.mark.parametrize("slice_axis", [None, 0])
@pytest.mark.parametrize("dims", [2, 3])
def test_image_and_label_agree_with_batchgenerators(dims, slice_axis):
    """For the same angles and scale: nnU-Net's augmentation, cubic for the image, and order 1 for the labels."""
    if dims == 2 and slice_axis is not None:
        pytest.skip("slices of a volume only")
    shape, size = ((46, 53), (31, 40)) if dims == 2 else ((12, 20, 22), (10, 15, 14))
    noise = smooth(shape, channels=4).numpy()
    image, label = noise[:1], noise.argmax(0)[None].astype(np.float32) * 3
    for seed in range(3):
        augment = transform(keys=["image", "label"], degrees=30, mode=[3, "label"], slice_axis=slice_axis)
        augment.spatial_size = size
        augment.set_random_state(seed=seed)
        out = augment({"image": torch.from_numpy(image), "label": torch.from_numpy(label)})
        x, y, z = [*-augment.angles, 0, 0][:3]
        planes = range(1) if slice_axis is None else range(1, 11)  # the middle ten of twelve
        pairs = [(image, label) if slice_axis is None else (image[:, n], label[:, n]) for n in planes]
        with (
            mock.patch("numpy.random.uniform", lambda low=0.0, high=1.0: low),
            mock.patch("numpy.random.random", return_value=0.0),
        ):
            done = [
                augment_spatial(
                    i[None], k[None], size if slice_axis is None else size[1:], do_elastic_deform=False,
                    angle_x=(x, x), angle_y=(y, y), angle_z=(z, z), scale=(augment.scale, augment.scale),
                    border_mode_data="constant", border_mode_seg="constant", border_cval_seg=-1, order_seg=1,
                    random_crop=False,
                )
                for i, k in pairs
            ]  # fmt: skip
        expected_image, expected_label = (np.stack([d[part][0, 0] for d in done]) for part in (0, 1))
        shape_of = (1, *size)
        np.testing.assert_allclose(out["image"], expected_image.reshape(shape_of), atol=1e-5)
        np.testing.assert_array_equal(out["label"], expected_label.clip(0).reshape(shape_of))
        assert len(out["label"].unique()) > 2


def test_label_stays_a_label_and_moves_along():
    image = smooth(SHAPES[2])
    label = (image > 0).float() * 5
    augment = transform(keys=["image", "label"], degrees=90, mode=["bilinear", "label"])
    out = augment({"image": label, "label": label, "name": "x"})
    assert set(out["label"].unique().tolist()) <= {0.0, 5.0}
    assert ((out["image"] > 2.5) == (out["label"] == 5)).float().mean() > 0.95
    assert out["name"] == "x"


@pytest.mark.parametrize("slice_axis", [None, 0])
def test_smaller_result_is_the_middle(slice_axis):
    """The same with and without the corners that are cut away."""
    volume, size = smooth((8, 21, 21)), (8, 11, 13)
    whole = transform(degrees=20, slice_axis=slice_axis)({"image": volume})["image"]
    cut = transform(degrees=20, slice_axis=slice_axis, spatial_size=size)({"image": volume})["image"]
    assert cut.shape == (1, *size)
    torch.testing.assert_close(cut, CenterSpatialCrop(size)(whole), atol=1e-5, rtol=0)
    still = transform(rotate_prob=0, scale_prob=0, spatial_size=size)({"image": volume})["image"]
    assert torch.equal(still, CenterSpatialCrop(size)(volume))


def test_larger_source_fills_the_corners():
    ones = torch.ones(1, 60, 60)
    turned = transform(degrees=[45.0], scale_range=[1.0, 1.0])
    assert turned({"image": ones[:, :40, :40]})["image"].min() == 0
    from_larger = transform(degrees=[45.0], scale_range=[1.0, 1.0], spatial_size=[40, 40])
    assert from_larger({"image": ones})["image"].min() == pytest.approx(1)


def test_only_what_fires_is_done():
    rotated = transform(scale_prob=0)
    rotated({"image": smooth(SHAPES[2])})
    assert rotated.angles is not None
    assert rotated.scale is None
    scaled = transform(rotate_prob=0)
    image = smooth(SHAPES[2])
    result = scaled({"image": image})["image"][0].numpy()
    assert scaled.angles is None
    matrix = np.eye(2) * scaled.scale
    where = inside(matrix, SHAPES[2], 0)
    expected = simple_itk(image[0].numpy(), matrix, sitk.sitkLinear)
    np.testing.assert_allclose(result[where], expected[where], atol=1e-4)


def test_frequency_and_range_are_those_of_the_recipe():
    augment = RandRotateScaled("image", degrees=15).set_random_state(seed=0)
    angles, scales, both = [], [], 0
    for _ in range(5000):
        augment.randomize(2)
        angles += [] if augment.angles is None else [math.degrees(augment.angles[0])]
        scales += [] if augment.scale is None else [augment.scale]
        both += augment.angles is not None and augment.scale is not None
    assert len(angles) / 5000 == pytest.approx(0.2, abs=0.02)
    assert len(scales) / 5000 == pytest.approx(0.2, abs=0.02)
    assert both / 5000 == pytest.approx(0.04, abs=0.01)  # independent of one another
    assert -15 <= min(angles) < -14.8
    assert 14.8 < max(angles) <= 15
    assert 0.7 <= min(scales) < 0.71
    assert 1.39 < max(scales) <= 1.4
    assert np.mean(np.array(scales) < 1) == pytest.approx(0.5, abs=0.05)  # so that the mean is 1.025
    assert np.mean(scales) == pytest.approx(1.025, abs=0.02)


def test_angles_in_space_are_independent():
    augment = RandRotateScaled("image", rotate_prob=1, degrees=[30, 20, 10]).set_random_state(seed=0)
    draws = []
    for _ in range(2000):
        augment.randomize(3)
        draws.append(np.degrees(augment.angles))
    np.testing.assert_allclose(np.abs(draws).max(0), [30, 20, 10], atol=0.1)
    assert np.abs(np.corrcoef(np.transpose(draws)) - np.eye(3)).max() < 0.06


def test_reproducible():
    image = smooth(SHAPES[2])
    first, second = (transform()({"image": image})["image"] for _ in range(2))
    assert torch.equal(first, second)


def test_metadata_and_affine():
    """A voxel of the result shows what the source has at the same place in the world."""
    affine = torch.tensor([[2.0, 0, 0, 5], [0, 3.0, 0, 7], [0, 0, 4.0, -9], [0, 0, 0, 1]], dtype=torch.float64)
    axes = torch.meshgrid(*(torch.arange(n).float() for n in (8, 30, 30)), indexing="ij")
    world = torch.stack([2 * axes[0] + 5, 3 * axes[1] + 7, 4 * axes[2] - 9])
    volume = MetaTensor(world, affine=affine, meta={"filename_or_obj": "a.nii.gz"})
    for slice_axis in (None, 0):
        augment = transform(degrees=15, slice_axis=slice_axis, spatial_size=[8, 10, 10], scale_range=[0.7, 0.8])
        result = augment({"image": volume})["image"]
        assert isinstance(result, MetaTensor)
        assert result.meta["filename_or_obj"] == "a.nii.gz"
        expected = result.affine @ torch.tensor([4.0, 3.0, 6.0, 1.0], dtype=torch.float64)
        torch.testing.assert_close(result.as_tensor()[:, 4, 3, 6].double(), expected[:3], atol=1e-3, rtol=0)
        assert torch.equal(volume.affine, affine)


def test_from_a_configuration():
    config = {
        "_target_": "components.transforms.RandRotateScaled",
        "keys": ["image", "label"],
        "spatial_size": [48, 160, 224],
        "degrees": 180,
        "slice_axis": 0,
        "mode": [3, "label"],
        "padding_mode": ["constant", "zeros"],
    }
    built = ConfigParser({"t": config}).get_parsed_content("t")
    out = built.set_random_state(seed=0)({"image": torch.rand(1, 6, 9, 9), "label": torch.ones(1, 6, 9, 9)})
    assert out["image"].shape == (1, 48, 160, 224)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rotate_prob": 1.5}, "rotate_prob must be a probability"),
        ({"scale_prob": -0.1}, "scale_prob must be a probability"),
        ({"scale_range": [0.0, 1.0]}, "scale_range"),
        ({"scale_range": [1.4, 0.7]}, "scale_range"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandRotateScaled("image", **arguments)
