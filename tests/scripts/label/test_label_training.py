"""Studies become training data with the numbers of the bundle, and slices as data prepare makes them."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from PIL import Image

from scripts.bundle.inference import InferenceBundle
from scripts.data.layouts import RawCase
from scripts.data.sources import acdc
from scripts.errors import UserError
from scripts.label.training import Study, item, slices

RNG = np.random.default_rng(0)
AFFINE = np.array([[-1.5, 0.1, 0, 30], [0.1, 1.5, 0, -20], [0, 0, 8, 5], [0, 0, 0, 1.0]])


@pytest.fixture
def heart(tmp_path):
    """A volume and its label, whose slices are its first axis."""
    image = nib.Nifti1Image(RNG.integers(0, 500, (12, 10, 4)).astype(np.int16), AFFINE)
    label = nib.Nifti1Image(RNG.integers(0, 4, (12, 10, 4)).astype(np.uint8), AFFINE)
    turn = ornt_transform(io_orientation(AFFINE), axcodes2ornt("SRA"))
    for name, volume in (("image", image), ("label", label)):
        nib.save(volume.as_reoriented(turn), tmp_path / f"{name}.nii.gz")
    return tmp_path / "image.nii.gz", tmp_path / "label.nii.gz"


def values(path):
    return np.asarray(nib.load(path).dataobj)


def test_a_label_with_the_numbers_of_the_bundle_stays_where_it_is(heart, tmp_path):
    made = item(Study("heart", *heart), InferenceBundle("msvm_acdc"), tmp_path / "made")
    assert made == {"image": str(heart[0]), "label": str(heart[1])}
    assert not (tmp_path / "made").exists()


def test_segments_are_found_by_their_names(heart, tmp_path):
    classes = {1: "Left Ventricle", 2: "myocardium", 3: "right ventricle", 7: "not in the label"}
    made = item(Study("heart", *heart, classes), InferenceBundle("msvm_acdc"), tmp_path / "made")
    np.testing.assert_array_equal(values(made["label"]), np.array([0, 3, 2, 1])[values(heart[1])])
    np.testing.assert_allclose(nib.load(made["label"]).affine, nib.load(heart[1]).affine, atol=1e-5)


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (
            {1: "left ventricle", 2: "myocardium", 3: "scar"},
            "the segment 'scar' is not a class, msvm_acdc has 0 background",
        ),
        ({1: "left ventricle"}, "the segment 'without a name' is not a class"),
    ],
)
def test_segments_that_the_bundle_does_not_have(heart, tmp_path, classes, reason):
    with pytest.raises(UserError, match=reason):
        item(Study("heart", *heart, classes), InferenceBundle("msvm_acdc"), tmp_path)


def test_numbers_that_the_bundle_does_not_have(heart, tmp_path):
    label = nib.load(heart[1])
    nib.save(nib.Nifti1Image(values(heart[1]) + 1, label.affine), heart[1])
    with pytest.raises(UserError, match="label 4 is not a class"):
        item(Study("heart", *heart), InferenceBundle("msvm_acdc"), tmp_path)


def test_image_and_label_have_to_be_on_one_grid(heart, tmp_path):
    label = nib.load(heart[1])
    moved = label.affine.copy()
    moved[0, 3] += 1
    nib.save(nib.Nifti1Image(values(heart[1]), moved), heart[1])
    with pytest.raises(UserError, match="do not lie at the same place"):
        item(Study("heart", *heart), InferenceBundle("msvm_acdc"), tmp_path)
    nib.save(label.slicer[:, 1:], heart[1])
    with pytest.raises(UserError, match="must be on one grid"):
        item(Study("heart", *heart), InferenceBundle("msvm_acdc"), tmp_path)


def test_slices_are_those_of_data_prepare(heart, tmp_path):
    image, label = heart
    bundle = InferenceBundle("msvm_acdc")
    made = slices([{"image": str(image), "label": str(label)}], bundle, tmp_path / "made")
    case = RawCase(
        "heart", "training", {"image": tmp_path / "turned.nii.gz", "label": tmp_path / "turned_label.nii.gz"}
    )
    for source, target in ((image, "image"), (label, "label")):
        turned = nib.load(source)
        turn = ornt_transform(io_orientation(turned.affine), axcodes2ornt("PLS"))
        nib.save(turned.as_reoriented(turn), case.files[target])
    record = acdc.convert_raw(case, tmp_path / "prepared")
    assert len(made) == len(record["items"]) == 4
    for ours, (_, theirs) in zip(made, record["items"], strict=True):
        for key in ("image", "label"):
            np.testing.assert_allclose(values(ours[key]), values(tmp_path / "prepared" / theirs[key]), atol=1e-6)
            np.testing.assert_allclose(
                nib.load(ours[key]).affine, nib.load(tmp_path / "prepared" / theirs[key]).affine, atol=1e-4
            )


def test_ct_slices_keep_hounsfield_units(heart, tmp_path):
    image, label = heart
    made = slices([{"image": str(image), "label": str(label)}], InferenceBundle("msvm_synapse"), tmp_path / "made")
    found = np.sort(np.concatenate([values(entry["image"]).ravel() for entry in made]))
    np.testing.assert_array_equal(found, np.sort(values(image).ravel()))


def test_label_of_a_picture_may_come_from_a_program_for_volumes(tmp_path):
    classes = RNG.integers(0, 3, (20, 30)).astype(np.uint8)
    Image.fromarray(RNG.integers(0, 255, (20, 30, 3)).astype(np.uint8)).save(tmp_path / "cells.png")
    nib.save(nib.Nifti1Image(classes.T[..., None], np.diag([-1, -1, 1, 1])), tmp_path / "cells.nii.gz")
    study = Study("cells", tmp_path / "cells.png", tmp_path / "cells.nii.gz")
    made = item(study, InferenceBundle("xlstm_cells"), tmp_path / "made")
    np.testing.assert_array_equal(np.asarray(Image.open(made["label"])), classes)
    Image.fromarray(classes).save(tmp_path / "label.png")
    study = Study("cells", tmp_path / "cells.png", tmp_path / "label.png")
    assert item(study, InferenceBundle("xlstm_cells"), tmp_path / "made")["label"] == str(tmp_path / "label.png")
