"""Volumes are turned, and predictions turned back by exactly the same axes."""

import itertools

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Compose, Invertd
from monai.transforms import Orientationd as Theirs
from scipy.spatial.transform import Rotation

from components.transforms import Orientation, Orientationd

SHAPE = (2, 3, 4)
VOXELS = torch.arange(24).reshape(1, *SHAPE)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
TIES = [
    Rotation.from_euler(axis, angle, degrees=True).as_matrix() for axis in "xyz" for angle in (45, 135, 225, 315)
] + [Rotation.from_euler("xyz", angles, degrees=True).as_matrix() for angles in ((45, 45, 0), (45, 45, 45))]
ORDERS = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def volume(matrix, values=VOXELS):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, (5, -7, 11)
    return MetaTensor(values, affine=torch.as_tensor(affine))


def place_in_itk(affine, index):
    """Where SimpleITK puts a voxel."""
    matrix = LPS @ affine
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image = sitk.Image(8, 8, 8, sitk.sitkUInt8)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    return image.TransformContinuousIndexToPhysicalPoint([float(n) for n in index])


def check_there_and_back(image, axcodes="PLS"):
    transform = Orientation(axcodes)
    turned = transform(image)
    back = transform.inverse(turned)
    assert torch.equal(back.as_tensor(), image.as_tensor())
    assert (back.affine - image.affine).abs().max() < 1e-12
    assert not back.applied_operations
    return turned


def check_places(image, turned):
    """Two corners and a voxel inside are where they were, by SimpleITK's arithmetic."""
    for voxel in (0, 7, 23):
        before, after = (np.argwhere(np.asarray(x[0]) == voxel)[0] for x in (image, turned))
        np.testing.assert_allclose(
            place_in_itk(turned.affine.numpy(), after), place_in_itk(image.affine.numpy(), before), atol=1e-9
        )


def test_any_rotation_is_undone():
    sizes = np.random.default_rng(0).uniform(0.3, 6, (3000, 3))
    for rotation, size in zip(Rotation.random(3000, random_state=0).as_matrix(), sizes, strict=True):
        check_there_and_back(volume(rotation * size))


def test_every_orientation_at_ties_of_45_degrees():
    for number, order in enumerate(ORDERS):
        for tie in TIES:
            image = volume(tie @ order * 3)
            turned = check_there_and_back(image, ("PLS", "SPL")[number % 2])
            check_places(image, turned)


def test_shear_and_a_mirrored_volume_are_undone():
    shear = np.array([[1, 0.4, 0.2], [0, 1, 0.3], [0, 0, 1]])
    for order in ORDERS:
        check_there_and_back(volume(shear @ order * (1, 2, 3)))


def test_the_axes_point_where_they_were_asked_to():
    for order in ORDERS:
        turned = check_there_and_back(volume(order * (0.7, 2, 5)))
        assert "".join(nib.aff2axcodes(turned.affine.numpy())) == "PLS"
        theirs = Theirs("image", axcodes="PLS", labels=None)({"image": volume(order * (0.7, 2, 5))})["image"]
        assert torch.equal(turned.as_tensor(), theirs.as_tensor())
        torch.testing.assert_close(turned.affine, theirs.affine)


def test_image_and_label_are_turned_alike_whatever_the_rounding():
    rng = np.random.default_rng(0)
    for tie in TIES:
        image, label = (volume(tie * 3 + rng.normal(scale=1e-4, size=(3, 3))) for _ in range(2))
        alone = [Orientation("PLS")(x) for x in (image, label)]
        together = Orientationd(["image", "label"], "PLS")({"image": image, "label": label}).values()
        for found in (alone, list(together)):
            assert torch.equal(found[0].as_tensor(), found[1].as_tensor())
        torch.testing.assert_close(alone[0].affine, found[0].affine)


def test_items_on_grids_of_their_own_are_turned_by_themselves():
    image, other = volume(np.diag([1.0, 2, 3])), volume(np.diag([-1.0, 2, 3])[[1, 0, 2]])
    found = Orientationd(["image", "other"], "RAS")({"image": image, "other": other})
    assert nib.aff2axcodes(found["other"].affine.numpy()) == tuple("RAS")
    assert torch.equal(found["image"].as_tensor(), VOXELS)


@pytest.mark.parametrize("axcodes", [None, "stored"])
def test_stored_axes_can_be_kept(axcodes):
    image = volume(ORDERS[29] * 2)
    turned = check_there_and_back(image, axcodes)
    assert torch.equal(turned.as_tensor(), VOXELS)
    torch.testing.assert_close(turned.affine, image.affine)


def test_a_prediction_is_brought_back_from_a_batch():
    """As an evaluator does it: collated, decollated, and the trace taken from the image."""
    images = [volume(TIES[0] @ np.diag(signs) * 3) for signs in ((1, 1, 1), (-1, 1, -1))]
    chain = Compose([Orientationd("image", "SPL")])
    batch = list_data_collate([chain({"image": image}) for image in images])
    for item, image in zip(decollate_batch(batch), images, strict=True):
        item["pred"] = MetaTensor(item["image"].as_tensor().clone())
        back = Invertd("pred", transform=chain, orig_keys="image")(item)["pred"]
        assert torch.equal(back.as_tensor(), VOXELS)
        torch.testing.assert_close(back.affine, image.affine)


@pytest.mark.parametrize("axcodes", ["PLX", "PL", "PLSS", "PPS", "pls", 5, ""])
def test_unknown_directions_are_refused(axcodes):
    with pytest.raises(ValueError, match=r"^axcodes .*: give one of R and L, one of A and P"):
        Orientation(axcodes)
