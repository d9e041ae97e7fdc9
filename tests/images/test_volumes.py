"""Volumes of all formats against SimpleITK, endings in any case, and files that are none."""

import gzip
import os
import shutil

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from monai.transforms import SaveImage
from scipy.spatial.transform import Rotation

from components.data import inference_items
from components.files import case_name
from components.images.endings import VOLUMES, ending_of, is_data_file, is_image, kind_of, left_out, listed
from components.images.reading import read
from components.images.volumes import read_volume
from components.transforms import LoadWholeImaged
from scripts.data.reading import naming
from scripts.errors import UserError

ARRAY = np.random.default_rng(0).integers(-50, 900, (9, 7, 5)).astype(np.int16)
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", [8, -12, 95], degrees=True).as_matrix() @ np.diag([0.8, 1.1, 2.5])
AFFINE[:3, 3] = (-12, 30, 7)


def write(path):
    """The same volume in the format of an ending, in small letters."""
    ending = ending_of(path)
    if ending in (".nii", ".nii.gz"):
        nib.save(nib.Nifti1Image(ARRAY, AFFINE), path)
    elif ending in (".hdr", ".img"):
        nib.save(nib.Nifti1Pair(ARRAY, AFFINE), path)
    elif ending in (".mgz", ".mgh"):
        nib.save(nib.MGHImage(ARRAY, AFFINE), path)
    else:
        nib.save(nib.Nifti1Image(ARRAY, AFFINE), path.with_name("source.nii"))
        image = sitk.ReadImage(str(path.with_name("source.nii")))
        for key in image.GetMetaDataKeys():
            image.EraseMetaData(key)
        sitk.WriteImage(image, str(path))
        path.with_name("source.nii").unlink()


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("ending", VOLUMES)
def test_voxels_and_their_places_are_those_of_simpleitk(ending, upper, tmp_path):
    path = tmp_path / f"case{ending}"
    write(path)
    if upper:
        for found in list(tmp_path.iterdir()):
            if found.suffix not in (".raw", ".gz") or found == path:  # the header has the name of its data file
                found.rename(found.with_name("case" + found.name[4:].upper()))
        path = tmp_path / f"case{ending.upper()}"
    content = read(path)
    np.testing.assert_array_equal(content.array, ARRAY)
    np.testing.assert_allclose(content.affine, AFFINE, atol=1e-4)
    np.testing.assert_allclose(read_volume(path).header.get_zooms(), [0.8, 1.1, 2.5], atol=1e-5)
    loaded = LoadWholeImaged("image")({"image": str(path)})["image"]
    np.testing.assert_array_equal(loaded, ARRAY)
    np.testing.assert_allclose(loaded.affine, AFFINE, atol=1e-4)
    if ending == ".nii.gz":
        SaveImage(tmp_path, output_postfix="pred", separate_folder=False, print_log=False)(loaded[None])
        assert (tmp_path / "case_pred.nii.gz").is_file()
    if not upper and ending not in (".mgz", ".mgh"):
        theirs = sitk.ReadImage(str(path))
        corner = [index - 1 for index in ARRAY.shape]
        place = np.array(theirs.TransformIndexToPhysicalPoint(corner)) * (-1, -1, 1)
        np.testing.assert_allclose(content.affine @ [*corner, 1], [*place, 1], atol=1e-3)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(theirs).T, content.array)


def test_names_of_cases():
    assert [case_name(f"x/a.b{ending}") for ending in (".NII.GZ", ".nii", ".Mhd", ".TIF", ".jpe")] == ["a.b"] * 5
    assert [kind_of(name) for name in ("a.IMA", "a.txt", ".nii.gz", "nii.gz", "a.gz")] == ["dicom", "", "", "", ""]


def test_one_time_point_is_a_volume_and_channels_stay(tmp_path):
    nib.save(nib.Nifti1Image(ARRAY[..., None, None], AFFINE), tmp_path / "one.nii.gz")
    assert read(tmp_path / "one.nii.gz").array.shape == ARRAY.shape
    nib.save(nib.Nifti1Image(np.stack([ARRAY] * 2, -1)[:, :, :, None], AFFINE), tmp_path / "two.nii")
    assert read(tmp_path / "two.nii").array.shape == (*ARRAY.shape, 2)
    vectors = sitk.GetImageFromArray(np.stack([ARRAY.T, 2 * ARRAY.T], -1), isVector=True)
    sitk.WriteImage(vectors, str(tmp_path / "v.nrrd"))
    np.testing.assert_array_equal(read(tmp_path / "v.nrrd").array, np.stack([ARRAY, 2 * ARRAY], -1))


def test_what_is_an_image_in_a_folder(tmp_path):
    """Links and odd names are images; what systems put there, and the data files of headers, are not."""
    for name in ("ö 100%.nii.gz", "pair.hdr", "header.mhd", "._ö 100%.nii.gz", "__MACOSX/a.nii", ".hidden/a.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name)
    (tmp_path / "Thumbs.db").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "IM1").write_text("")
    (tmp_path / "IM2").write_text("")
    os.symlink(tmp_path / "ö 100%.nii.gz", tmp_path / "link.nii.gz")
    (tmp_path / "folder.nii.gz").mkdir()
    write(tmp_path / "folder.nii.gz" / "inner.nii.gz")
    found = listed(tmp_path)
    names = ["folder.nii.gz/inner.nii.gz", "header.mhd", "link.nii.gz", "pair.hdr", "ö 100%.nii.gz"]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in found if is_image(path)) == names
    assert len(inference_items(str(tmp_path))) == 5
    others = [path for path in found if not is_image(path) and not is_data_file(path)]
    told = "3 other files were left out: 2 without an ending, 1 .txt, such as IM1"
    assert left_out(others, tmp_path) == told
    for path in filter(is_image, found):
        np.testing.assert_array_equal(read(path).array, ARRAY)


def cut(path, part=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])


def wrong_sum(path):
    content = bytearray(gzip.decompress(path.read_bytes()))
    packed = bytearray(gzip.compress(bytes(content)))
    packed[-6] ^= 1
    path.write_bytes(packed)


FAULTS = {
    "case.nii.gz": [cut, wrong_sum, lambda p: p.write_bytes(b""), lambda p: (p.unlink(), p.mkdir())],
    "case.mgz": [cut, wrong_sum, lambda p: p.write_bytes(b"")],
    "case.mgh": [cut, lambda p: p.write_bytes(b"")],
    "case.hdr": [cut, lambda p: p.with_suffix(".img").unlink(), lambda p: cut(p.with_suffix(".img"))],
    "case.img": [lambda p: p.with_suffix(".hdr").unlink()],
    "case.mhd": [lambda p: p.with_suffix(".raw").unlink(), lambda p: cut(p.with_suffix(".raw"))],
    "case.mha": [cut, lambda p: p.write_text("x")],
    "case.nrrd": [cut, lambda p: p.write_text("NRRD0004\n")],
    "case.dcm": [lambda p: shutil.copy(__file__, p)],
}


@pytest.mark.parametrize(("name", "place"), [(name, place) for name in FAULTS for place in range(len(FAULTS[name]))])
def test_damage_is_told_in_one_line(name, place, tmp_path):
    path = tmp_path / name
    if path.suffix != ".dcm":
        write(path)
    FAULTS[name][place](path)
    with pytest.raises(UserError) as error, naming(path):
        read(path)
    assert str(path.with_suffix("")) in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"case\.\S+ cannot be read: .*data check"):
        LoadWholeImaged("image")({"image": str(path)})
