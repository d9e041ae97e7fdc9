"""Resampling to a spacing against scikit-image and SimpleITK, and the way back."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, CropForegroundd, Invertd
from scipy import ndimage
from skimage.transform import resize as skimage_resize

from components.transforms import ResampleSpacing, ResampleSpacingd
from components.transforms.resample import resize, slice_axis

TARGET = (3.0, 1.2, 1.2)
THICK, THIN = (7.0, 1.0, 1.5), (4.0, 1.4, 2.0)  # over three times the others, and not


def image(spacing, shape=(9, 20, 25), channels=1):
    noise = np.random.default_rng(0).normal(size=(channels, *shape))
    values = torch.from_numpy(np.stack([ndimage.gaussian_filter(c, 1.0) for c in noise])).float()
    affine = torch.diag(torch.tensor([*spacing, 1.0][: len(shape)] + [1.0] * (4 - len(shape))))
    return MetaTensor(values, affine=affine, meta={"filename_or_obj": "a.nii.gz"})


def labels(spacing, shape=(9, 20, 25)):
    """Three labels whose borders are smooth."""
    values = image(spacing, shape)
    return MetaTensor(torch.bucketize(values.as_tensor(), torch.tensor([-0.1, 0.1])), affine=values.affine)


def cubic(array, size):
    return skimage_resize(array, size, order=3, mode="edge", anti_aliasing=False, preserve_range=True)


def test_all_axes_at_once_agree_with_skimage():
    source = image(THIN, channels=2)
    result = ResampleSpacing(TARGET)(source)
    assert result.shape == (2, 12, 23, 42)  # rounded from 12, 23.3 and 41.7
    expected = np.stack([cubic(c, result.shape[1:]) for c in source.numpy()])
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_are_resized_by_themselves(axis):
    """Each in its plane with scikit-image; across, the slice whose place is nearest."""
    spacing, target = np.roll(THICK, axis), np.roll(TARGET, axis)
    source = image(spacing, tuple(np.roll((9, 20, 25), axis)))
    result = ResampleSpacing(target)(source).movedim(axis + 1, 1)[0].numpy()
    slices = source.movedim(axis + 1, 1)[0].numpy()
    middles = (np.arange(len(result)) + 0.5) * 9 / len(result) - 0.5
    assert len(result) == 21
    for plane, middle in zip(result, middles, strict=True):
        nearest = np.abs(np.arange(9) - middle).argmin()
        np.testing.assert_allclose(plane, cubic(slices[nearest], plane.shape), atol=1e-6)


def test_thin_slices_are_made_thick_by_themselves():
    """Where only the target is anisotropic."""
    source = image((2.0, 1.0, 1.0), (9, 20, 24))
    result = ResampleSpacing((6.0, 1.5, 1.5))(source)[0].numpy()
    for plane, source_slice in zip(result, source[0].numpy()[1::3], strict=True):
        np.testing.assert_allclose(plane, cubic(source_slice, plane.shape), atol=1e-6)


def test_linear_agrees_with_simple_itk():
    """The centres of the voxels lie where the new affine says; inside the outermost centres."""
    source = image(THIN)
    result = ResampleSpacing(TARGET, mode="linear")(source)
    picture = sitk.GetImageFromArray(source[0].numpy())
    picture.SetSpacing(THIN[::-1])
    grid = sitk.Image([int(n) for n in result.shape[:0:-1]], sitk.sitkFloat32)
    grid.SetSpacing([float(s) for s in result.pixdim[:3].flip(0)])
    grid.SetOrigin([float(o) for o in result.affine[:3, 3].flip(0)])
    expected = sitk.GetArrayFromImage(sitk.Resample(picture, grid, sitk.Transform(), sitk.sitkLinear, np.nan))
    inside = np.isfinite(expected)
    assert inside.mean() > 0.7
    np.testing.assert_allclose(result[0].numpy()[inside], expected[inside], atol=1e-4)


def test_extent_is_kept():
    for spacing in (THICK, THIN):
        source = image(spacing)
        result = ResampleSpacing(TARGET)(source)
        for corner in (-0.5, np.array(source.shape[1:]) - 0.5):
            there = corner * np.ones(3) if np.isscalar(corner) else np.array(result.shape[1:]) - 0.5
            before = source.affine.numpy() @ [*(corner * np.ones(3)), 1]
            np.testing.assert_allclose(result.affine.numpy() @ [*there, 1], before, atol=1e-5)
        assert result.meta["filename_or_obj"] == "a.nii.gz"


def test_labels_are_linear_in_each_class():
    source = labels(THIN)
    result = ResampleSpacing(TARGET, mode="label")(source)
    shares = np.stack(
        [
            skimage_resize(
                (source[0].numpy() == k).astype(float), result.shape[1:], order=1, mode="edge", anti_aliasing=False
            )
            for k in range(3)
        ]
    )
    clear = np.sort(shares, 0)[-1] - np.sort(shares, 0)[-2] > 1e-5
    assert result.dtype == source.dtype
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(result[0].numpy()[clear], shares.argmax(0)[clear])


def test_cubic_stays_in_the_range_of_the_image():
    edge = MetaTensor(torch.cat([torch.zeros(1, 6, 6), torch.ones(1, 6, 6)], 1), affine=torch.eye(4))
    result = ResampleSpacing((0.4, 0.4))(edge)
    assert result.min() == 0
    assert result.max() == 1


@pytest.mark.parametrize("spacing", [THICK, THIN])
@pytest.mark.parametrize("nearest", [True, False])
def test_prediction_comes_back_to_the_grid_of_the_image(spacing, nearest):
    source = {"image": image(spacing), "label": labels(spacing)}
    prepare = ResampleSpacingd(["image", "label"], TARGET, mode=["cubic", "label"])
    data = prepare(source)
    one_hot = torch.nn.functional.one_hot(data["label"][0].as_tensor().long()).movedim(-1, 0).float()
    data["pred"] = MetaTensor(data["label"].as_tensor() if nearest else one_hot)
    back = Invertd("pred", prepare, orig_keys="image", nearest_interp=nearest)(data)["pred"]
    decided = back if nearest else back.argmax(0, keepdim=True)
    assert back.shape[1:] == source["image"].shape[1:]
    torch.testing.assert_close(back.affine, source["image"].affine.double(), atol=1e-6, rtol=0)
    assert (decided == source["label"]).float().mean() > 0.9
    if nearest:
        assert back.dtype == data["label"].dtype
        assert set(back.unique().tolist()) <= {0, 1, 2}
    else:
        expected = resize(one_hot, source["image"].shape[1:], "linear", slice_axis(spacing))
        torch.testing.assert_close(back.as_tensor(), expected)
        torch.testing.assert_close(back.sum(0), torch.ones(9, 20, 25), check_dtype=False)


def test_way_back_through_a_crop_as_well():
    """The foreground's box, resampled, and restored in the zeros around it."""
    inner = image(THIN, (9, 16, 16))
    padded = torch.nn.functional.pad(inner.as_tensor(), (4, 5, 2, 2, 1, 0))
    source = {"image": MetaTensor(padded, affine=inner.affine)}
    prepare = Compose(
        [
            CropForegroundd("image", source_key="image", select_fn=lambda x: x != 0, allow_smaller=True),
            ResampleSpacingd("image", TARGET),
        ]
    )
    data = prepare(source)
    data["pred"] = MetaTensor(torch.ones_like(data["image"].as_tensor()))
    back = Invertd("pred", prepare, orig_keys="image", nearest_interp=True)(data)["pred"]
    assert torch.equal(back.as_tensor(), (padded != 0).float())


def test_nearest_of_the_inverse_takes_the_middle():
    """Twice as fine and back is the same label map."""
    source = labels((2.0, 2.0, 2.0))
    fine = ResampleSpacing((1.0, 1.0, 1.0), mode="nearest")
    result = fine(source)
    assert torch.equal(result.as_tensor()[:, ::2, ::2, ::2], source.as_tensor())
    result.applied_operations[-1]["extra_info"]["mode"] = "nearest"
    assert torch.equal(fine.inverse(result).as_tensor(), source.as_tensor())


def test_nothing_to_do():
    source = image(TARGET)
    assert torch.equal(ResampleSpacing(TARGET)(source), source)


def test_plane_and_configuration():
    config = {
        "_target_": "components.transforms.ResampleSpacingd",
        "keys": ["image", "label"],
        "pixdim": [0.5, 0.5],
        "mode": ["cubic", "nearest"],
    }
    built = ConfigParser({"t": config}).get_parsed_content("t")
    plane = MetaTensor(torch.rand(3, 8, 9), affine=torch.eye(4))
    assert built({"image": plane, "label": plane[:1]})["image"].shape == (3, 16, 18)


@pytest.mark.parametrize(
    ("spacing", "axis"), [((3.1, 1, 1), 0), ((3.0, 1, 1), None), ((1, 5, 1.2), 1), ((4, 4, 1), None), ((2, 2, 2), None)]
)
def test_slice_axis(spacing, axis):
    assert slice_axis(spacing) == axis


def test_wrong_use():
    with pytest.raises(ValueError, match="unknown mode 'cubik', did you mean 'cubic'"):
        ResampleSpacingd("image", TARGET, mode="cubik")
    with pytest.raises(ValueError, match="positive numbers"):
        ResampleSpacing((0.0, 1.0))
    with pytest.raises(ValueError, match="must be a MetaTensor with a channel and 3 axes"):
        ResampleSpacing(TARGET)(torch.rand(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"shape \(1, 4, 4\)"):
        ResampleSpacing(TARGET)(MetaTensor(torch.rand(1, 4, 4)))
