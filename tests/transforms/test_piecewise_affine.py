"""The random piecewise affine deformation, against scikit-image's transform of the same control points."""

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose
from skimage.transform import PiecewiseAffineTransform, warp

from components.transforms import RandPiecewiseAffine, RandPiecewiseAffined
from components.transforms.piecewise_affine import interpolate_on_simplices

SHAPE, GRID = (50, 65), (4, 4)


def deformation(**arguments):
    return RandPiecewiseAffine(prob=1.0, grid_range=GRID, **arguments).set_random_state(seed=3)


def smooth_image(shape=SHAPE, channels=2):
    axes = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    return torch.from_numpy(np.stack([np.sin(sum(axes) * (c + 1)) + axes[0] for c in range(channels)])).float()


def skimage_mapping(displacements):
    """Where scikit-image looks up (row, column), for displacements (2, *GRID) in pixels, with imgaug's points.

    imgaug 0.4 spans its points from 0 to the height and the width, and keeps the moved ones inside the image.
    Delaunay's triangulation of a rectangle may take either diagonal. Points are sheared first so that only the diagonal
    from the first to the last corner is left; a piecewise affine map stays one under it.
    """
    axes = [np.linspace(0, n, points) for n, points in zip(SHAPE, GRID, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    cell = np.array([axes[0][1], axes[1][1]])
    shear = np.array([[1.0, 0.0], [-0.5, 1.0]])
    transform = PiecewiseAffineTransform()
    moved = (points + displacements.reshape(2, -1).T).clip(0, np.array(SHAPE) - 1)
    transform.estimate(points / cell @ shear, moved)
    return lambda coordinates: transform(coordinates / cell @ shear)


def pixels(displacements):
    return displacements * np.array(SHAPE).reshape(2, 1, 1)


def test_image_agrees_with_skimage():
    deform = deformation(mode="bilinear")
    image = smooth_image()
    result = deform(image).numpy()
    mapping = skimage_mapping(pixels(deform.displacements))
    # skimage's coordinates are (column, row).
    for channel, actual in zip(image.numpy(), result, strict=True):
        expected = warp(channel, lambda xy: mapping(xy[:, ::-1])[:, ::-1], order=1, mode="constant")
        np.testing.assert_allclose(actual, expected, atol=1e-4)
    assert np.abs(result - image.numpy()).max() > 0.05


def test_grid_points_keep_their_values():
    values = torch.randn(3, 4, 5, 3, generator=torch.Generator().manual_seed(0))
    enlarged = interpolate_on_simplices(values, (9, 8, 4))
    torch.testing.assert_close(enlarged[:, ::3, ::2, ::2], values[:, :-1, :-1, :-1])


def test_linear_functions_are_kept_in_any_dimension():
    for shape in ((9,), (9, 12), (5, 8, 7)):
        ramp = sum(torch.meshgrid(*(torch.arange(n) * (i + 1) / n for i, n in enumerate(shape)), indexing="ij"))
        coarse = sum(torch.meshgrid(*(torch.linspace(0, i + 1, 3) for i in range(len(shape))), indexing="ij"))
        torch.testing.assert_close(interpolate_on_simplices(coarse[None], shape)[0], ramp)


def test_without_a_displacement_only_the_last_points_move():
    """They lie one voxel beyond the image, and are moved into it."""
    image = smooth_image()
    for mode in ("bilinear", "nearest", "bicubic", 3):
        result = RandPiecewiseAffine(1.0, (0.0, 0.0), (4, 4), mode=mode)(image)
        torch.testing.assert_close(result[:, :33, :43], image[:, :33, :43], atol=1e-5, rtol=0, msg=str(mode))
        torch.testing.assert_close(result, image, atol=0.25, rtol=0)


def test_number_of_points_is_drawn_for_every_axis():
    deform = RandPiecewiseAffine(1.0).set_random_state(seed=0)
    drawn = set()
    for _ in range(100):
        deform.randomize(2)
        drawn.add(deform.displacements.shape[1:])
    assert drawn == {(rows, columns) for rows in (2, 3, 4) for columns in (2, 3, 4)}


def test_size_of_the_displacements():
    deform = RandPiecewiseAffine(1.0, (0.02, 0.02), grid_range=(100, 100))
    deform.set_random_state(seed=0).randomize(2)
    assert deform.displacements.std() == pytest.approx(0.02, rel=0.02)
    assert abs(deform.displacements.mean()) < 1e-3


def test_scale_is_drawn_for_every_image():
    deform = RandPiecewiseAffine(1.0, (0.01, 0.03), grid_range=(60, 60)).set_random_state(seed=0)
    spreads = []
    for _ in range(20):
        deform.randomize(2)
        spreads.append(deform.displacements.std())
    assert 0.0095 < min(spreads) < 0.015
    assert 0.025 < max(spreads) < 0.0305


def test_reproducible():
    image = smooth_image()
    results = [deformation()(image) for _ in range(2)]
    assert torch.equal(*results)
    assert not torch.equal(results[0], RandPiecewiseAffine(1.0, grid_range=GRID).set_random_state(seed=4)(image))


def test_probability_and_metadata():
    image = MetaTensor(smooth_image(), meta={"filename_or_obj": "a.png"})
    untouched = RandPiecewiseAffine(prob=0.0)(image)
    assert torch.equal(untouched, image)
    for result in (untouched, deformation()(image)):
        assert isinstance(result, MetaTensor)
        assert result.meta["filename_or_obj"] == "a.png"
        assert torch.equal(result.affine, image.affine)


def test_volume():
    result = RandPiecewiseAffine(1.0, grid_range=(3, 5)).set_random_state(seed=0)(smooth_image((12, 16, 20)))
    assert result.shape == (2, 12, 16, 20)
    assert result.isfinite().all()


class TestDictionary:
    def test_label_moves_with_the_image(self):
        image = smooth_image(channels=1)
        label = (image > image.median()).to(torch.uint8) * 3
        transform = RandPiecewiseAffined(["image", "label"], 1.0, grid_range=GRID, mode=["bilinear", "nearest"])
        out = transform.set_random_state(seed=3)({"image": image, "label": label, "name": "x"})
        again = transform.deform
        assert torch.equal(out["image"], again(image, mode="bilinear", randomize=False))
        assert torch.equal(out["label"], again(label, mode="nearest", randomize=False))
        assert set(out["label"].unique().tolist()) == {0.0, 3.0}
        assert not torch.equal(out["label"], label.float())
        assert out["name"] == "x"

    def test_items_of_two_sizes_are_deformed_alike(self):
        """At twice the size the same deformation; up to the interpolation of a smooth image."""
        large = smooth_image((80, 80), 1)
        transform = RandPiecewiseAffined(["a", "b"], 1.0, grid_range=GRID, mode="bicubic").set_random_state(seed=0)
        out = transform({"a": large[:, ::2, ::2], "b": large})
        inside = (slice(None), slice(4, 26), slice(4, 26))
        torch.testing.assert_close(out["a"][inside], out["b"][:, ::2, ::2][inside], atol=0.02, rtol=0)

    def test_reproducible_in_a_compose(self):
        data = {"image": smooth_image(), "label": torch.ones(1, *SHAPE)}
        transform = Compose([RandPiecewiseAffined(["image", "label"], 0.5, mode=["bilinear", "nearest"])])
        runs = []
        for _ in range(2):
            transform.set_random_state(seed=7)
            runs.append([transform(data)["image"] for _ in range(8)])
        assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))
        moved = [not torch.equal(result, data["image"]) for result in runs[0]]
        assert any(moved)
        assert not all(moved)

    def test_missing_keys(self):
        data = {"image": smooth_image()}
        assert set(RandPiecewiseAffined(["image", "label"], 1.0, allow_missing_keys=True)(data)) == {"image"}
        with pytest.raises(KeyError, match="label"):
            RandPiecewiseAffined(["image", "label"], 1.0)(data)

    def test_from_a_configuration(self):
        config = {
            "_target_": "components.transforms.RandPiecewiseAffined",
            "keys": ["image", "label"],
            "prob": 0.5,
            "scale_range": [0.008, 0.03],
            "grid_range": [2, 4],
            "mode": ["bilinear", "nearest"],
        }
        transform = ConfigParser({"t": config}).get_parsed_content("t")
        assert transform.mode == ("bilinear", "nearest")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale_range": (0.03, 0.01)}, "scale_range"),
        ({"scale_range": (0.03,)}, "scale_range"),
        ({"grid_range": (1, 4)}, "grid_range must be two numbers, 2 ≤ low"),
        ({"grid_range": (4, 2)}, "grid_range"),
        ({"mode": "bilinaer"}, "bilinear"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandPiecewiseAffine(**arguments)
    with pytest.raises(ValueError, match=message):
        RandPiecewiseAffined("image", **arguments)
