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

SHAPE, GRID = (50, 65), (4, 5)


def deformation(**arguments):
    return RandPiecewiseAffine(prob=1.0, grid=GRID, **arguments).set_random_state(seed=3)


def smooth_image(shape=SHAPE, channels=2):
    axes = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    return torch.from_numpy(np.stack([np.sin(sum(axes) * (c + 1)) + axes[0] for c in range(channels)])).float()


def skimage_mapping(displacements):
    """Where scikit-image looks up (row, column), for displacements (2, *GRID) in pixels.

    Delaunay's triangulation of a rectangle may take either diagonal. Points are sheared first so that only the diagonal
    from the first to the last corner is left; a piecewise affine map stays one under it.
    """
    axes = [np.linspace(0, n - 1, points) for n, points in zip(SHAPE, GRID, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    cell = np.array([axes[0][1], axes[1][1]])
    shear = np.array([[1.0, 0.0], [-0.5, 1.0]])
    transform = PiecewiseAffineTransform()
    transform.estimate(points / cell @ shear, points + displacements.reshape(2, -1).T)
    return lambda coordinates: transform(coordinates / cell @ shear)


def pixels(displacements):
    return displacements * np.array(SHAPE).reshape(2, 1, 1)


def test_displacements_agree_with_skimage():
    displacements = pixels(np.random.default_rng(0).normal(0, 0.03, (2, *GRID)))
    field = interpolate_on_simplices(torch.from_numpy(displacements), SHAPE).numpy()
    inside = np.stack(np.meshgrid(*(np.arange(1, n - 1) for n in SHAPE), indexing="ij"), -1).reshape(-1, 2)
    expected = skimage_mapping(displacements)(inside.astype(float)) - inside
    np.testing.assert_allclose(field[:, 1:-1, 1:-1].reshape(2, -1).T, expected, atol=1e-10)


def test_image_agrees_with_skimage():
    deform = deformation(mode="bilinear", padding_mode="border")
    image = smooth_image()
    result = deform(image).numpy()
    mapping = skimage_mapping(pixels(deform.displacements))
    # skimage's coordinates are (column, row).
    for channel, actual in zip(image.numpy(), result, strict=True):
        expected = warp(channel, lambda xy: mapping(xy[:, ::-1])[:, ::-1], order=1, mode="edge")
        np.testing.assert_allclose(actual[1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-4)
    assert np.abs(result - image.numpy()).max() > 0.05


def test_grid_points_keep_their_values():
    values = torch.randn(3, 4, 5, 3, generator=torch.Generator().manual_seed(0))
    enlarged = interpolate_on_simplices(values, (10, 9, 5))
    torch.testing.assert_close(enlarged[:, ::3, ::2, ::2], values)


def test_linear_functions_are_kept_in_any_dimension():
    for shape in ((9,), (9, 12), (5, 8, 7)):
        ramp = sum(torch.meshgrid(*(torch.linspace(0, i + 1, n) for i, n in enumerate(shape)), indexing="ij"))
        coarse = sum(torch.meshgrid(*(torch.linspace(0, i + 1, 3) for i in range(len(shape))), indexing="ij"))
        torch.testing.assert_close(interpolate_on_simplices(coarse[None], shape)[0], ramp)


def test_no_displacement_is_the_identity():
    image = smooth_image()
    for mode in ("bilinear", "nearest", "bicubic", 3):
        result = RandPiecewiseAffine(1.0, (0.0, 0.0), mode=mode)(image)
        torch.testing.assert_close(result, image, atol=1e-5, rtol=0, msg=str(mode))


def test_size_of_the_displacements():
    deform = RandPiecewiseAffine(1.0, (0.02, 0.02), grid=(100, 100))
    deform.set_random_state(seed=0).randomize(2)
    assert deform.displacements.std() == pytest.approx(0.02, rel=0.02)
    assert abs(deform.displacements.mean()) < 1e-3


def test_scale_is_drawn_for_every_image():
    deform = RandPiecewiseAffine(1.0, (0.01, 0.03), grid=(60, 60)).set_random_state(seed=0)
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
    assert not torch.equal(results[0], RandPiecewiseAffine(1.0, grid=GRID).set_random_state(seed=4)(image))


def test_probability_and_metadata():
    image = MetaTensor(smooth_image(), meta={"filename_or_obj": "a.png"})
    untouched = RandPiecewiseAffine(prob=0.0)(image)
    assert torch.equal(untouched, image)
    for result in (untouched, deformation()(image)):
        assert isinstance(result, MetaTensor)
        assert result.meta["filename_or_obj"] == "a.png"
        assert torch.equal(result.affine, image.affine)


def test_volume():
    result = RandPiecewiseAffine(1.0, grid=(3, 4, 5)).set_random_state(seed=0)(smooth_image((12, 16, 20)))
    assert result.shape == (2, 12, 16, 20)
    assert result.isfinite().all()


class TestDictionary:
    def test_label_moves_with_the_image(self):
        image = smooth_image(channels=1)
        label = (image > image.median()).to(torch.uint8) * 3
        transform = RandPiecewiseAffined(["image", "label"], 1.0, grid=GRID, mode=["bilinear", "nearest"])
        out = transform.set_random_state(seed=3)({"image": image, "label": label, "name": "x"})
        again = transform.deform
        assert torch.equal(out["image"], again(image, mode="bilinear", randomize=False))
        assert torch.equal(out["label"], again(label, mode="nearest", randomize=False))
        assert set(out["label"].unique().tolist()) == {0.0, 3.0}
        assert not torch.equal(out["label"], label.float())
        assert out["name"] == "x"

    def test_items_of_two_sizes_are_deformed_alike(self):
        """At twice the size the same deformation; up to the interpolation of a smooth image."""
        small, large = smooth_image((41, 41), 1), smooth_image((81, 81), 1)
        out = RandPiecewiseAffined(["a", "b"], 1.0, mode="bicubic").set_random_state(seed=0)({"a": small, "b": large})
        inside = (slice(None), slice(4, -4), slice(4, -4))
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
            "grid": [4, 4],
            "mode": ["bilinear", "nearest"],
        }
        transform = ConfigParser({"t": config}).get_parsed_content("t")
        assert transform.mode == ("bilinear", "nearest")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale_range": (0.03, 0.01)}, "scale_range"),
        ({"scale_range": (0.03,)}, "scale_range"),
        ({"grid": 1}, "at least 2"),
        ({"grid": (4, 1)}, "at least 2"),
        ({"mode": "bilinaer"}, "bilinear"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandPiecewiseAffine(**arguments)
    with pytest.raises(ValueError, match=message):
        RandPiecewiseAffined("image", **arguments)
