"""Names and files of data sets as they come: channels, endings, orientation, what is left out."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import user_data as data
from PIL import Image, ImageOps
from raw_data import nifti

from scripts.data.faults import CheckJob, inspect
from scripts.errors import UserError
from scripts.new.datafolder import Form, fill
from scripts.new.measure import measure
from scripts.new.own_data import find_sources


def entered(root, out, **form):
    """A data set measured and written as ``new`` does, every case for training."""
    sources = find_sources(root)
    found = measure(sources, 1)
    cases = [type(case)(case.name, "validation", case.images, case.label) for case in sources.cases]
    records = fill(out, cases, Form(found.table, **form), 1)
    return sources, [item for record in records for _, item in record["items"]]


def faults(folder, item, classes=3):
    return inspect(CheckJob(folder, "validation", item, "mine", classes, False)).faults


def test_a_label_with_the_full_name_of_the_image_means_one_channel(tmp_path):
    """AMOS22 and WORD: imagesTr/amos_0001.nii.gz beside labelsTr/amos_0001.nii.gz."""
    data.raw_volumes(tmp_path, channels=("CT",), training=3, test=0)
    for number in range(3):
        (tmp_path / f"imagesTr/c{number}_0000.nii.gz").rename(tmp_path / f"imagesTr/amos_{number:04d}.nii.gz")
        (tmp_path / f"labelsTr/c{number}.nii.gz").rename(tmp_path / f"labelsTr/amos_{number:04d}.nii.gz")
    found = find_sources(tmp_path)
    assert [(case.name, len(case.images)) for case in found.cases] == [(f"amos_{n:04d}", 1) for n in range(3)]


def test_channels_are_in_the_order_of_their_numbers(tmp_path):
    names = [f"ch{number}" for number in range(11)]
    data.raw_volumes(tmp_path, channels=names, training=2, test=0)
    assert find_sources(tmp_path).channels == tuple(names)
    content = json.loads((tmp_path / "dataset.json").read_text())
    content["channel_names"]["one"] = content["channel_names"].pop("10")
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"dataset.json: the channel 'one' has no number"):
        find_sources(tmp_path)


@pytest.mark.parametrize("endings", [("NII.GZ", "nii.gz"), ("nii.gz", "Nii.gz"), ("NII", "nii.gz"), ("MHD", "NRRD")])
def test_images_and_labels_pair_whatever_their_endings(endings, tmp_path):
    import SimpleITK as sitk

    data.raw_volumes(tmp_path / "raw", channels=("CT",), training=2, test=0)
    for folder, ending in zip(("imagesTr", "labelsTr"), endings, strict=True):
        for path in list((tmp_path / "raw" / folder).iterdir()):
            renamed = path.with_name(path.name.replace("nii.gz", ending))
            if ending in ("MHD", "NRRD"):
                image = sitk.ReadImage(str(path))
                path.unlink()
                sitk.WriteImage(image, str(renamed.with_suffix(f".{ending.lower()}")))
                renamed.with_suffix(f".{ending.lower()}").rename(renamed)
            elif ending == "NII":
                nib.save(nib.load(path), path.with_suffix(""))
                path.unlink()
                path.with_suffix("").rename(renamed)
            else:
                path.rename(renamed)
    sources, items = entered(tmp_path / "raw", tmp_path / "out")
    assert [case.name for case in sources.cases] == ["c0", "c1"]
    assert sources.notes == ()
    for item in items:
        assert faults(tmp_path / "out", item) == []
        assert item["image"].endswith((".nii", ".nii.gz"))


def test_label_maps_without_any_class_are_refused_though_classes_are_named(tmp_path):
    data.raw_volumes(tmp_path, channels=("CT",), training=2, test=0)
    for path in (tmp_path / "labelsTr").iterdir():
        data.rewrite(path, np.zeros_like)
    with pytest.raises(UserError, match="the label maps hold only background: there is no class to learn"):
        measure(find_sources(tmp_path), 1)


def test_volumes_of_one_time_point_are_taken(tmp_path):
    from components.transforms import LoadWholeImaged

    data.raw_volumes(tmp_path / "raw", channels=("CT",), training=2, test=0)
    for number, axes in enumerate(((None,), (None, None))):
        data.rewrite(tmp_path / f"raw/imagesTr/c{number}_0000.nii.gz", lambda a, axes=axes: a[(..., *axes)])
        data.rewrite(tmp_path / f"raw/labelsTr/c{number}.nii.gz", lambda a, axes=axes: a[(..., *axes)])
    _, items = entered(tmp_path / "raw", tmp_path / "out")
    for item in items:
        assert faults(tmp_path / "out", item) == []
        loaded = LoadWholeImaged(["image"])({"image": str(tmp_path / "out" / item["image"])})["image"]
        assert loaded.shape == data.SHAPE


@pytest.mark.parametrize("orientation", [3, 6])
def test_photographs_fit_a_mask_that_was_drawn_as_displayed(orientation, tmp_path):
    raw = data.pair_of_pictures(tmp_path / "raw", count=2, shape=(40, 56), factor=1)
    for number in range(2):
        path = raw / f"images/p{number}.png"
        exif = Image.Exif()
        exif[274] = orientation
        Image.open(path).save(path.with_suffix(".jpg"), exif=exif, quality=95)
        path.unlink()
        shown = ImageOps.exif_transpose(Image.open(path.with_suffix(".jpg")))
        label = np.zeros((shown.height, shown.width), np.uint8)
        label[3:9, 5:20], label[10:20, :9] = 1, 2
        Image.fromarray(label).save(raw / f"labels/p{number}.png")
    sources, items = entered(raw, tmp_path / "out")
    for case, item in zip(sources.cases, items, strict=True):
        assert faults(tmp_path / "out", item) == []
        with Image.open(tmp_path / "out" / item["image"]) as written, Image.open(case.images[0]) as stored:
            assert written.getexif().get(274, 1) == 1
            np.testing.assert_array_equal(np.array(written), np.array(ImageOps.exif_transpose(stored)))


def test_files_that_are_left_out_are_named(tmp_path):
    data.raw_volumes(tmp_path, channels=("CT",), training=2, test=0)
    (tmp_path / "imagesTr/notes.txt").write_text("")
    (tmp_path / "labelsTr/c0.json").write_text("")
    (tmp_path / "imagesTr/._c0_0000.nii.gz").write_text("")
    shutil.copy(tmp_path / "imagesTr/notes.txt", tmp_path / "imagesTr/more.txt")
    (note,) = find_sources(tmp_path).notes
    assert note == "3 other files were left out: 2 .txt, 1 .json, such as imagesTr/more.txt"


def test_a_label_map_on_another_grid_is_found_after_the_axes_were_dropped(tmp_path):
    data.raw_volumes(tmp_path, channels=("CT",), training=1, test=0)
    nifti(tmp_path / "labelsTr/c0.nii.gz", np.ones((28, 24, 1, 10), np.uint8), data.AFFINE)
    with pytest.raises(UserError, match=r"c0.nii.gz has shape|c0.nii.gz: has 4 axes"):
        measure(find_sources(tmp_path), 1)
