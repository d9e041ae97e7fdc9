"""Formats, geometry, and images that cannot be segmented."""

import json
import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image, ImageOps
from scipy.spatial.transform import Rotation

from scripts.errors import UserError
from scripts.predict import predict
from scripts.predict.cases import find_cases
from tests.scripts.predict.images import as_itk

VOLUMES, CELLS = "xlstm_abdomen_mri_3d", "xlstm_cells"  # the quick ones


@pytest.fixture
def scans(tmp_path):
    (tmp_path / "scans").mkdir()
    return tmp_path / "scans"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def in_axes(image, axes):
    """The same volume with its voxels in another order."""
    order = nib.orientations.axcodes2ornt(tuple(axes))
    return image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), order))


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAL", "PIR"])
def test_order_of_the_axes_changes_nothing(axes, ct, scans, predictor):
    nib.save(ct, scans / "case.nii.gz")
    nib.save(in_axes(ct, axes), scans / "turned.nii.gz")
    expected, found = (predictor(VOLUMES)(scans / name) for name in ("case.nii.gz", "turned.nii.gz"))
    back = in_axes(nib.Nifti1Image(found.labels, found.affine), nib.aff2axcodes(ct.affine))
    np.testing.assert_array_equal(np.asanyarray(back.dataobj), expected.labels)


def test_nifti_keeps_grid_codes_and_units(ct, scans, out, arguments):
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", [10, -5, 20], degrees=True).as_matrix()
    image = nib.Nifti1Image(np.asanyarray(ct.dataobj) * 2.0, turned @ ct.affine)
    image.set_data_dtype(np.int16)  # so that it gets a scale
    image.set_sform(turned @ ct.affine, code=4)
    image.set_qform(turned @ ct.affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    image.header["cal_max"] = 300
    nib.save(image, scans / "case.nii")
    assert predict(input=str(scans), output=str(out), **arguments(VOLUMES)) == 0
    before, after = nib.load(scans / "case.nii"), nib.load(out / "case_pred.nii.gz")
    assert after.shape == before.shape
    assert after.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_allclose(after.get_qform(), before.get_qform(), atol=1e-5)
    for name in ("sform_code", "qform_code", "xyzt_units"):
        assert after.header[name] == before.header[name]
    assert after.header["cal_max"] == 0
    assert np.isnan(after.header["scl_slope"]) or after.header["scl_slope"] == 1
    theirs = sitk.ReadImage(str(out / "case_pred.nii.gz"))
    assert theirs.GetSize() == before.shape


@pytest.mark.parametrize("ending", ["nrrd", "mha", "mhd"])
def test_formats_of_itk(ending, ct, scans, out, arguments, predictor):
    nib.save(ct, scans.parent / "same.nii.gz")
    sitk.WriteImage(as_itk(ct), str(scans / f"case.{ending}"))
    assert predict(input=str(scans), output=str(out), **arguments(VOLUMES)) == 0
    (written,) = out.glob("case_pred.[nm]*")
    assert written.suffix == {"nrrd": ".nrrd", "mha": ".mha", "mhd": ".mha"}[ending]
    labels, image = sitk.ReadImage(str(written)), sitk.ReadImage(str(scans / f"case.{ending}"))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(labels).T, predictor(VOLUMES)(scans.parent / "same.nii.gz").labels
    )
    assert labels.GetPixelID() == sitk.sitkUInt8
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(labels, name)(), getattr(image, name)(), atol=1e-6)


def test_nrrd_that_counts_to_the_right(ct, scans, predictor):
    """The affine of a NRRD in RAS is the one of NIfTI: nothing may be assumed about the space."""
    nrrd = pytest.importorskip("nrrd")
    header = {"space": "RAS", "space directions": ct.affine[:3, :3].T, "space origin": ct.affine[:3, 3]}
    nrrd.write(str(scans / "case.nrrd"), np.asanyarray(ct.dataobj), header)
    nib.save(ct, scans / "same.nii.gz")
    found, expected = predictor(VOLUMES)(scans / "case.nrrd"), predictor(VOLUMES)(scans / "same.nii.gz")
    np.testing.assert_allclose(found.affine, ct.affine, atol=1e-6)
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_format_can_be_chosen(ct, scans, out, arguments):
    nib.save(ct, scans / "case.nii.gz")
    assert predict(input=str(scans / "case.nii.gz"), output=str(out), format="nrrd", **arguments(VOLUMES)) == 0
    assert sitk.ReadImage(str(out / "case_pred.nrrd")).GetSize() == ct.shape
    with pytest.raises(ValueError, match=r"unknown format 'niigz', did you mean 'nii\.gz'"):
        predict(input=str(scans), output=str(out), format="niigz", **arguments(VOLUMES))
    with pytest.raises(UserError, match="--format is for volumes"):
        predict(input=str(scans), output=str(out), format="nrrd", **arguments(CELLS))


def test_sheared_volume_needs_nifti(ct, scans, out, arguments, capsys):
    shear = np.eye(4)
    shear[0, 2] = 0.5
    nib.save(nib.Nifti1Image(np.asanyarray(ct.dataobj), ct.affine @ shear), scans / "case.nii.gz")
    assert predict(input=str(scans), output=str(out), format="mha", **arguments(VOLUMES)) == 1
    assert "not at right angles, which only NIfTI can hold: --format nii.gz" in capsys.readouterr().err
    assert not list(out.glob("*.mha"))
    assert predict(input=str(scans), output=str(out), **arguments(VOLUMES)) == 0
    np.testing.assert_allclose(nib.load(out / "case_pred.nii.gz").affine, ct.affine @ shear, atol=1e-5)


def test_volume_with_one_channel_as_fourth_axis(ct, scans, predictor):
    nib.save(ct, scans / "case.nii.gz")
    nib.save(nib.Nifti1Image(np.asanyarray(ct.dataobj)[..., None], ct.affine), scans / "four.nii.gz")
    found, expected = (predictor(VOLUMES)(scans / name).labels for name in ("four.nii.gz", "case.nii.gz"))
    np.testing.assert_array_equal(found, expected)


def palette(grey):
    return Image.fromarray(grey).convert("P")


def transparent(grey):
    return Image.fromarray(np.dstack([grey, grey, grey, 255 - grey]))


PICTURES = {
    "grey.png": Image.fromarray,
    "rgb.bmp": lambda grey: Image.fromarray(np.dstack([grey] * 3)),
    "rgba.png": transparent,
    "palette.png": palette,
    "grey.tif": Image.fromarray,
}


@pytest.mark.parametrize("name", PICTURES)
def test_kinds_of_pictures(name, nuclei, scans, out, arguments, predictor):
    Image.fromarray(np.dstack([nuclei] * 3)).save(scans.parent / "expected.png")
    PICTURES[name](nuclei).save(scans / name)
    assert predict(input=str(scans), output=str(out), **arguments(CELLS)) == 0
    stem = name.partition(".")[0]
    with Image.open(out / f"{stem}_pred.png") as written:
        assert (written.mode, written.size) == ("I;16", (80, 48))
        np.testing.assert_array_equal(np.array(written), predictor(CELLS)(scans.parent / "expected.png").labels)


def test_jpeg_keeps_height_and_width(nuclei, scans, out, arguments):
    Image.fromarray(nuclei).save(scans / "case.JPG")
    assert predict(input=str(scans), output=str(out), **arguments(CELLS)) == 0
    assert Image.open(out / "case_pred.png").size == (80, 48)


@pytest.mark.parametrize(("ending", "factor"), [("png", 16), ("tif", 200)])
def test_sixteen_bits_are_stretched_like_the_training_data(ending, factor, nuclei, scans, predictor):
    from components.images.intensities import stretched_rgb

    deep = nuclei.astype(np.uint16) * factor
    Image.fromarray(deep).save(scans / f"deep.{ending}")
    Image.fromarray(stretched_rgb(deep)).save(scans / "expected.png")
    found, expected = (predictor(CELLS)(scans / name).labels for name in (f"deep.{ending}", "expected.png"))
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) > 1


def test_probabilities_in_files(ct, nuclei, scans, out, arguments, predictor):
    nib.save(ct, scans / "case.nii.gz")
    assert predict(input=str(scans), output=str(out), save_probabilities=True, **arguments(VOLUMES)) == 0
    image = nib.load(out / "case_probabilities.nii.gz")
    expected = predictor(VOLUMES)(scans / "case.nii.gz", probabilities=True).probabilities
    assert image.get_data_dtype() == np.uint16
    np.testing.assert_allclose(np.moveaxis(image.get_fdata(), -1, 0), expected, atol=1e-5)
    np.testing.assert_allclose(image.affine, ct.affine)
    Image.fromarray(nuclei).save(scans.parent / "case.png")
    picture = str(scans.parent / "case.png")
    assert predict(input=picture, output=str(out / "cells"), save_probabilities=True, **arguments(CELLS)) == 0
    with np.load(out / "cells" / "case_probabilities.npz") as file:
        assert file["probabilities"].dtype == np.float16
        assert file["names"].tolist() == ["background", "interior", "boundary"]
        expected = predictor(CELLS)(picture, probabilities=True).probabilities
        np.testing.assert_allclose(file["probabilities"], expected, atol=1e-3)


def test_labels_are_named(ct, scans, out, arguments):
    nib.save(ct, scans / "case.nii.gz")
    predict(input=str(scans), output=str(out), **arguments(VOLUMES))
    names = json.loads((out / "labels.json").read_text())
    assert (names["0"], names["1"], len(names)) == ("background", "liver", 14)


def cut(path, image):
    nib.save(image, path)
    path.write_bytes(path.read_bytes()[:-4000])


def cut_plain(path, image):
    nib.save(image, path.with_suffix(""))
    content = path.with_suffix("").read_bytes()
    path.with_suffix("").write_bytes(content[:-4000])


def wrong_sum(path, image):
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    content[-6] ^= 255
    path.write_bytes(content)


def with_nan(path, image):
    array = np.array(image.dataobj, dtype=np.float32)
    array[3, 4, 2] = np.nan
    array[0, 0, 0] = np.inf
    nib.save(nib.Nifti1Image(array, image.affine), path)


def of_time(path, image):
    nib.save(nib.Nifti1Image(np.stack([np.asanyarray(image.dataobj)] * 5, -1), image.affine), path)


def flat(path, image):
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj)[:, :, 0], image.affine), path)


def without_place(path, image):
    image.header["srow_x"] = 0
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    nib.Nifti1Image(image.dataobj, None, image.header).to_filename(path)


def empty(path, image):
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine), path)


def of_colours(path, image):
    rgb = np.zeros(image.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, image.affine), path)


FAULTS = {
    cut: "Compressed file ended before",
    cut_plain: "it is cut off or damaged",
    wrong_sum: "CRC check failed",
    with_nan: "it has 2 voxels that are NaN or infinite",
    of_time: "5 channels or time points, but xlstm_abdomen_mri_3d takes volumes (MR, 1 channel)",
    flat: "it has shape (62, 40), but xlstm_abdomen_mri_3d takes volumes (MR, 1 channel)",
    without_place: "its affine maps several voxels to one position",
    empty: "it is 0 in all its voxels: there is nothing to segment",
    of_colours: "its voxels are of type",
    lambda path, image: path.write_text("no image"): "Not a gzipped file",
    lambda path, image: path.write_bytes(b""): "it is not a NIfTI image",
    lambda path, image: path.symlink_to("nowhere"): "case.nii.gz is missing",
    lambda path, image: path.with_name("case.nrrd").write_text("NRRD0004\n"): "case.nrrd: ",
    lambda path, image: path.with_name("case.mha").write_text("x"): "failed: case: File cannot be read: ",
    lambda path, image: Image.new("L", (9, 9)).save(
        path.with_name("case.png")
    ): "case.png is a picture, but xlstm_abdomen_mri_3d takes volumes (MR, 1 channel)",
}


@pytest.mark.parametrize("damage", FAULTS, ids=lambda f: f.__name__)
def test_damaged_volume_is_told_and_the_others_go_on(damage, ct, scans, out, arguments, capsys):
    damage(scans / "case.nii.gz", ct)
    nib.save(ct, scans / "good.nii.gz")
    status = predict(input=str(scans), output=str(out), **arguments(VOLUMES))
    told = capsys.readouterr()
    assert (out / "good_pred.nii.gz").is_file()
    assert not list(out.glob("case_*"))
    assert status == 1
    assert told.err.count("\n") == 1
    assert told.err.startswith("failed: case: ")
    assert FAULTS[damage] in told.err
    assert "1 done, 0 skipped, 1 failed" in told.out


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        (
            "case.tif",
            lambda p: Image.new("L", (9, 9)).save(p, save_all=True, append_images=[Image.new("L", (9, 9))]),
            "2 p",
        ),
        ("case.png", lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n"), "cannot identify image file"),
        ("case.jpg", lambda p: p.write_text("no picture"), "cannot identify image file"),
        (
            "case.nii",
            lambda p: nib.save(nib.Nifti1Image(np.ones((4, 4, 4)), np.eye(4)), p),
            "is a volume, but xlstm_cells",
        ),
    ],
)
def test_damaged_picture_is_told(name, make, told, scans, out, arguments, capsys):
    make(scans / name)
    assert predict(input=str(scans), output=str(out), **arguments(CELLS)) == 1
    assert told in capsys.readouterr().err
    assert not list(out.glob("case*"))


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may read and write everything")
def test_permissions_are_told(ct, scans, out, arguments, capsys):
    nib.save(ct, scans / "case.nii.gz")
    (scans / "case.nii.gz").chmod(0)
    assert predict(input=str(scans), output=str(out), **arguments(VOLUMES)) == 1
    assert "Permission denied" in capsys.readouterr().err


def test_same_names_and_other_files(ct, scans, out, arguments):
    (scans / "p1").mkdir()
    (scans / "P1.nii.gz").write_text("")
    for path in (scans / "a.nii.gz", scans / "a.nii", scans / "p1" / "a.nii.gz", scans / "p1" / "b.nii.gz"):
        nib.save(ct, path)
    sitk.WriteImage(as_itk(ct), str(scans / "a.nrrd"))
    (scans / "notes.txt").write_text("notes")
    (scans / ".hidden.nii.gz").write_text("")
    cases, _ = find_cases(scans)
    assert [case.name for case in cases] == ["P1", "a_nii", "a_nii_gz", "a_nrrd", "b", "p1_a"]
    assert predict(input=str(scans), output=str(out), **arguments(VOLUMES)) == 1
    assert len(list(out.glob("*_pred.n*"))) == 5


def test_prepared_data_set_gives_its_test_cases(ct, scans):
    for name in ("images/test/a", "images/training/b", "labels/test/a"):
        (scans / name).parent.mkdir(parents=True, exist_ok=True)
        nib.save(ct, scans / f"{name}.nii.gz")
    lists = {
        "test": [{"image": "images/test/a.nii.gz", "label": "labels/test/a.nii.gz"}],
        "training": [],
        "validation": [],
    }
    (scans / "datalist.json").write_text(json.dumps(lists))
    cases, _ = find_cases(scans)
    assert [(case.name, case.source) for case in cases] == [("a", "images/test/a.nii.gz")]


def test_missing_library_of_itk_names_the_extra(ct, scans, out, arguments, capsys, monkeypatch):
    sitk.WriteImage(as_itk(ct), str(scans / "case.nrrd"))
    monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
    assert predict(input=str(scans), output=str(out), **arguments(VOLUMES)) == 1
    assert "case.nrrd: it needs SimpleITK: pip install 'scanseg[formats]'" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["NII.GZ", "mgz", "hdr", "MHA"])
def test_endings_in_any_case_and_further_formats(ending, ct, scans, out, arguments, predictor):
    nib.save(ct, scans.parent / "same.nii.gz")
    if ending == "MHA":
        sitk.WriteImage(as_itk(ct), str(scans / "case.mha"))
        (scans / "case.mha").rename(scans / "case.MHA")
    elif ending == "mgz":
        nib.save(nib.MGHImage(np.asanyarray(ct.dataobj), ct.affine), scans / "case.mgz")
    else:
        kind = nib.Nifti1Pair if ending == "hdr" else nib.Nifti1Image
        nib.save(kind(np.asanyarray(ct.dataobj), ct.affine), scans / f"case.{ending}")
    assert predict(input=str(scans), output=str(out), **arguments(VOLUMES)) == 0
    written = sitk.ReadImage(str(out / ("case_pred.mha" if ending == "MHA" else "case_pred.nii.gz")))
    expected = predictor(VOLUMES)(scans.parent / "same.nii.gz").labels
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written).T, expected)
    np.testing.assert_allclose(written.GetOrigin(), as_itk(ct).GetOrigin(), atol=1e-3)


def test_what_is_left_out_is_named(ct, scans, out, arguments, capsys):
    nib.save(ct, scans / "B.nii.gz")
    nib.save(nib.Nifti1Pair(np.asanyarray(ct.dataobj), ct.affine), scans / "pair.hdr")
    (scans / "notes").mkdir()
    for name in ("notes/a.txt", "notes/b.txt", "c.csv", "README", "._B.nii.gz", "Thumbs.db"):
        (scans / name).write_text("text")
    assert predict(input=str(scans), output=str(out), **arguments(VOLUMES)) == 0
    told = capsys.readouterr()
    assert "2 done" in told.out
    assert "4 other files were left out: 2 .txt, 1 without an ending, 1 .csv, such as notes/a.txt" in told.err
    with pytest.raises(UserError, match=r"has no images \(.*; 2 other files were left out: 2 .txt, such as a.txt"):
        find_cases(scans / "notes")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_maps_of_photographs_lie_on_the_grid_of_the_file(orientation, nuclei, scans, out, arguments, predictor):
    """As of the picture that was turned by Pillow before."""
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(nuclei).save(scans / "photo.png", exif=exif)
    turned = ImageOps.exif_transpose(Image.open(scans / "photo.png"))
    turned.save(scans.parent / "turned.png", exif=Image.Exif())
    assert predict(input=str(scans), output=str(out), save_probabilities=True, **arguments(CELLS)) == 0
    labels = np.array(Image.open(out / "photo_pred.png"))
    assert labels.shape == nuclei.shape
    tagged = Image.fromarray(labels)
    tagged.getexif()[274] = orientation
    expected = predictor(CELLS)(scans.parent / "turned.png")
    np.testing.assert_array_equal(np.array(ImageOps.exif_transpose(tagged)), expected.labels)
    with np.load(out / "photo_probabilities.npz") as file:
        assert file["probabilities"].shape[1:] == nuclei.shape
        interior = file["probabilities"].argmax(0) == 1
    assert (interior == (labels > 0)).mean() > 0.999
