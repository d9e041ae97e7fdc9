"""Random patches: where they lie, and on which class."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from components.transforms import RandPatchd

SIZE = (5, 4, 6)


def volume(shape=(11, 12, 13)):
    """An image whose voxels hold their number, and a label with a large and a small organ."""
    image = torch.arange(np.prod(shape), dtype=torch.float32).reshape(1, *shape) + 1
    label = torch.zeros(1, *shape)
    label[0, 3:9, 4:9, 5:10] = 2
    label[0, 6:7, 7:8, 8:9] = 4
    return {"image": image, "label": label}


def patch(**arguments):
    defaults = {"keys": ["image", "label"], "label_key": "label", "spatial_size": SIZE}
    return RandPatchd(**{**defaults, **arguments}).set_random_state(seed=0)


def test_patch_is_a_part_of_the_image():
    data, cut = volume(), patch()
    for _ in range(20):
        out = cut(data)
        region = tuple(slice(s, s + n) for s, n in zip(cut.start, SIZE, strict=True))
        assert torch.equal(out["image"][0], data["image"][0][region])
        assert torch.equal(out["label"][0], data["label"][0][region])


def test_random_patches_are_uniform():
    data, cut = volume((7, 4, 6)), patch()
    starts = [cut(data) and tuple(cut.start) for _ in range(3000)]
    assert set(starts) == {(0, 0, 0), (1, 0, 0), (2, 0, 0)}
    assert np.bincount([s[0] for s in starts]) / 3000 == pytest.approx([1 / 3] * 3, abs=0.03)


def test_small_image_lies_in_the_middle_of_zeros():
    data = volume((3, 9, 4))
    out = patch()(data)
    assert out["image"].shape == (1, *SIZE)
    assert (out["image"] != 0).any(3).any(2)[0].tolist() == [False, True, True, True, False]
    inner = out["image"][0, 1:4, :, 1:5]
    assert inner.all()
    assert (out["image"] != 0).sum() == inner.numel()


def test_foreground_patch_is_centred_and_classes_are_drawn_alike():
    """The small organ of one voxel has the same chance as the one of 149."""
    cut, data, labels = patch(), {**volume(), "foreground": True}, []
    for _ in range(2000):
        centre = cut(data)["label"][0][tuple(n // 2 for n in SIZE)]
        labels.append(int(centre))
    assert set(labels) == {2, 4}
    assert labels.count(4) / 2000 == pytest.approx(0.5 + 0.5 / 149 / 2, abs=0.03)


def test_foreground_at_the_border_is_in_the_patch():
    data = {**volume(), "foreground": True}
    for corner in ((0, 0, 0), (10, 11, 12)):
        data["label"] = torch.zeros(1, 11, 12, 13)
        data["label"][(0, *corner)] = 1
        cut = patch()
        out = cut(data)
        assert out["label"].sum() == 1
        assert out["image"].all()  # nothing outside


def test_without_foreground_the_patch_is_random():
    data = {"image": torch.rand(1, 9, 9, 9), "label": torch.zeros(1, 9, 9, 9), "foreground": True}
    cut = patch()
    assert len({cut(data) and tuple(cut.start) for _ in range(30)}) > 10


def test_margin_may_lie_outside_but_the_inner_part_may_not():
    data, inner = volume((10, 10, 10)), (6, 10, 4)
    cut = patch(spatial_size=(9, 14, 4), inner_size=inner)
    starts = np.array([cut(data) and cut.start for _ in range(400)])
    np.testing.assert_array_equal(starts.min(0), [-1, -2, 0])
    np.testing.assert_array_equal(starts.max(0), [3, -2, 6])  # 3 + (9 − 6) // 2 + 6 = 10
    out = cut(data)["image"]
    assert out[0, 1:7, 2:12].all()


def test_axis_can_be_taken_whole():
    assert patch(spatial_size=(-1, 4, 6))(volume())["image"].shape == (1, 11, 4, 6)


def test_images_of_a_plane_and_channels():
    data = {"image": torch.rand(3, 20, 30), "label": torch.ones(1, 20, 30), "foreground": True}
    out = RandPatchd(["image"], "label", [8, 40])(data)
    assert out["image"].shape == (3, 8, 40)
    assert torch.equal(out["label"], data["label"])  # not among the keys


def test_metadata_and_affine():
    data = volume()
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    data["image"] = MetaTensor(data["image"], affine=affine, meta={"filename_or_obj": "a.nii.gz"})
    for size in (SIZE, (20, 4, 6)):
        cut = patch(spatial_size=size)
        out = cut(data)["image"]
        assert out.meta["filename_or_obj"] == "a.nii.gz"
        np.testing.assert_allclose(out.affine[:3, 3], cut.start * np.array([2.0, 3.0, 4.0]))


def test_reproducible():
    runs = [[tuple(p(volume())["image"].flatten().tolist()) for _ in range(5)] for p in (patch(), patch())]
    assert runs[0] == runs[1]


def test_wrong_use():
    with pytest.raises(ValueError, match="as many axes"):
        RandPatchd("image", "label", [4, 4], inner_size=[4])
    with pytest.raises(ValueError, match=r"shape \(2, 8, 8\).*one channel and 2 axes"):
        RandPatchd("image", "label", [4, 4])({"image": torch.rand(1, 8, 8), "label": torch.ones(2, 8, 8)})


def test_patches_of_regions_and_of_known_voxels():
    label = torch.full((1, 9, 9, 9), 5.0)
    label[0, 2:7, 2:7, 2:7] = 0
    label[0, 2, 2, 2], label[0, 6, 6, 6] = 1, 3
    cut = patch(keys=["label"], spatial_size=(1, 1, 1), regions=[[1, 3], [3], [2]], ignore_label=5)
    middles = [int(cut({"label": label, "foreground": True})["label"]) for _ in range(800)]
    # The first region has both voxels, the second one of them, the third none.
    assert np.bincount(middles, minlength=4) / 800 == pytest.approx([0, 0.25, 0, 0.75], abs=0.05)
    others = {int(cut({"label": label})["label"]) for _ in range(300)}
    assert 0 in others
    assert 5 not in others
    assert int(cut({"label": torch.full_like(label, 5), "foreground": True})["label"]) == 5
