"""Where a NIfTI file puts its voxels, by every statement that its header can make; SimpleITK is the oracle."""

import struct

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from components.images.grid import check_same_grid, label_image
from components.images.volumes import read_volume

AFFINE = np.array([[0, -3.0, 0, 10], [2, 0, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1]])
VOXELS = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
NAN = float("nan")
# Places of the fields in the header, with their types.
FIELDS = {
    "dim": (40, "8h"), "intent_code": (68, "h"), "datatype": (70, "h"), "pixdim": (76, "8f"), "vox_offset": (108, "f"),
    "scl_slope": (112, "f"), "scl_inter": (116, "f"), "xyzt_units": (123, "B"), "dim_info": (39, "B"),
    "qform_code": (252, "h"), "sform_code": (254, "h"), "quatern": (256, "3f"), "srow_x": (280, "4f"),
    "srow_y": (296, "4f"), "magic": (344, "4s"),
}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "case.nii"


def write(path, affine=AFFINE, voxels=VOXELS, kind=nib.Nifti1Image, **fields):
    """A file with sform and qform; then the fields are put into its header as they are."""
    image = kind(voxels, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    for name, value in fields.items():
        place, kind = FIELDS[name]
        struct.pack_into("<" + kind, content, place, *(value if isinstance(value, (tuple, list)) else (value,)))
    path.write_bytes(content)
    return path


def itk(path):
    """Voxels and affine (RAS, mm) of SimpleITK."""
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, LPS @ affine


def check_as_itk(path):
    image = read_volume(path)
    voxels, affine = itk(path)
    np.testing.assert_allclose(np.asanyarray(image.dataobj), voxels, rtol=1e-6)
    np.testing.assert_allclose(image.affine, affine, atol=1e-4)
    np.testing.assert_allclose(image.header.get_zooms(), np.linalg.norm(affine[:3, :3], axis=0), atol=1e-4)
    return image


@pytest.mark.parametrize("codes", [(1, 1), (4, 0), (0, 1)], ids=["both", "sform", "qform"])
@pytest.mark.parametrize(("unit", "size"), [(0, 1.0), (1, 1e-3), (2, 1.0), (3, 1e3)])
def test_units_are_those_of_itk(unit, size, codes, path):
    scaled = np.diag([size, size, size, 1]) @ AFFINE
    write(path, scaled, xyzt_units=unit | 8, sform_code=codes[0], qform_code=codes[1])
    image = check_as_itk(path)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    # A map has the header of the file, so that both lie at one place for every reader.
    nib.save(label_image(np.zeros(VOXELS.shape, np.uint8), image), path.with_name("map.nii.gz"))
    before, after = nib.load(path).header, nib.load(path.with_name("map.nii.gz")).header
    for name in ("xyzt_units", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "qoffset_x", "quatern_b"):
        assert np.array_equal(after[name], before[name]), name
    np.testing.assert_array_equal(after["pixdim"][:4], before["pixdim"][:4])
    np.testing.assert_allclose(itk(path.with_name("map.nii.gz"))[1], itk(path)[1])


RIGHT = {
    "slope 0": {"scl_slope": 0.0},
    "slope NaN": {"scl_slope": NAN},
    "slope infinite": {"scl_slope": float("inf")},
    "slope and intercept": {"scl_slope": -0.5, "scl_inter": 3.0},
    "pixdim 0 beside an sform and a qform of unit": {"qform_code": 0, "xyzt_units": 10},
    "qfac 0": {"pixdim": (0, 2, 3, 5, 1, 1, 1, 1), "sform_code": 0},
    "qfac -1": {"pixdim": (-1, 2, 3, 5, 1, 1, 1, 1), "sform_code": 0},
    "qfac without meaning": {"pixdim": (7, 2, 3, 5, 1, 1, 1, 1), "sform_code": 0},
    "sform without a column": {"srow_x": (0, 0, 0, 10)},
    "sform of another size than pixdim": {"srow_x": (0, -6, 0, 10)},
    "code of a later standard": {"sform_code": 5},
    "code that there is not": {"sform_code": -1},
    "unit that there is not": {"xyzt_units": 7},
    "magic of a pair": {"magic": b"ni1\0"},
    "intent of a vector": {"intent_code": 1007},
    "intent of labels": {"intent_code": 1002},
    "directions of coding": {"dim_info": 0b111001},
    "one time point": {"dim": (4, 4, 5, 6, 1, 0, 0, 0)},
    "five axes, two of length 1": {"dim": (5, 4, 5, 6, 1, 1, 0, 0)},
    "lengths beyond the axes": {"dim": (3, 4, 5, 6, 0, -3, 9, 0)},
}


@pytest.mark.parametrize("name", RIGHT)
def test_headers_are_read_as_by_itk(name, path):
    check_as_itk(write(path, **RIGHT[name]))


REFUSED = {
    "sform and pixdim differ, no qform": ({"srow_x": (0, -6, 0, 10), "qform_code": 0}, "2 × 3 × 5 mm by the spacing"),
    "NaN": ({"srow_x": (NAN, 0, 0, 0), "qform_code": 0}, "maps several voxels to one position"),
    "NaN everywhere": ({"quatern": (NAN, 0, 0), "sform_code": 0}, "maps several voxels to one position"),
    "no slices": ({"srow_x": (0, 0, 0, 9), "qform_code": 0}, "maps several voxels to one position"),
    "quaternion too long": ({"quatern": (1, 1, 1), "sform_code": 0}, "its header is damaged"),
    "mm called metres": ({"xyzt_units": 1}, "its voxels are 2000 × 3000 × 5000 mm, but scans have 0.01 to 50 mm"),
    "mm called micrometres": ({"xyzt_units": 3}, "its voxels are 0.002 × 0.003 × 0.005 mm, but scans have"),
    "intercept NaN": ({"scl_slope": 2.0, "scl_inter": NAN}, "invalid intercept"),
    "voxels in the header": ({"vox_offset": 0.0}, "begin at byte 0, inside the header"),
    "voxels nowhere": ({"vox_offset": NAN}, "its header is damaged"),
    "voxels behind the end": ({"vox_offset": 368.0}, "it is cut off or damaged"),
    "bits": ({"datatype": 1}, "not supported"),
    "no type": ({"datatype": 0}, "not supported"),
    "unknown type": ({"datatype": 4096}, "not recognized"),
    "no magic": ({"magic": b"xxx\0"}, "it is not a NIfTI image"),
    "negative length": ({"dim": (3, -4, 5, 6, 1, 1, 1, 1)}, "it is cut off or damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_headers_that_say_nothing_of_use_are_refused_in_one_line(name, path):
    fields, reason = REFUSED[name]
    write(path, **fields)
    with pytest.raises(ValueError, match=reason) as error:
        np.asanyarray(read_volume(path).dataobj)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["complex64", "rgb", "rgba"])
def test_voxels_that_are_no_real_numbers_are_refused(kind, path):
    colours = [(name, "u1") for name in "RGBA"[: len(kind)]]
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), kind if kind == "complex64" else colours), AFFINE), path)
    with pytest.raises(ValueError, match=r"its voxels are of type .*, but each must be one real number"):
        read_volume(path)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<u4", "<i8", "<u8", "<f4", "<f8", ">i2", ">f4"])
def test_types_and_byte_orders(dtype, path):
    order = ">" if dtype[0] == ">" else "<"
    image = nib.Nifti1Image(VOXELS.astype(dtype), AFFINE, nib.Nifti1Header(endianness=order), dtype=np.dtype(dtype))
    nib.save(image, path)
    assert nib.load(path).header.endianness == order
    check_as_itk(path)


def test_nifti_2_in_micrometres_and_a_vector_of_five_axes(path):
    image = nib.Nifti2Image(np.stack([VOXELS] * 2, -1)[..., None, :], np.diag([1e3, 1e3, 1e3, 1]) @ AFFINE)
    image.header.set_xyzt_units("micron")
    image.header.set_intent("vector")
    nib.save(image, path)
    found = read_volume(path)
    assert found.shape == (4, 5, 6, 2)
    np.testing.assert_allclose(found.affine, AFFINE)
    written = label_image(VOXELS.astype(np.uint8), found)
    assert isinstance(written, nib.Nifti2Image)
    np.testing.assert_allclose(written.affine, image.affine)
    assert (written.header.get_xyzt_units()[0], written.header.get_intent()[0]) == ("micron", "none")


def test_a_map_has_to_lie_on_its_image():
    check_same_grid((4, 5, 6), AFFINE + 1e-6, (4, 5, 6), AFFINE)
    with pytest.raises(ValueError, match=r"the prediction has shape \(5, 4, 6\), but the image \(4, 5, 6\)"):
        check_same_grid((5, 4, 6), AFFINE, (4, 5, 6), AFFINE)
    swapped = AFFINE[:, [1, 0, 2, 3]]
    for other in (swapped, AFFINE + 1e-3 * np.eye(4), AFFINE * NAN):
        with pytest.raises(ValueError, match=r"mm away from the image, so nothing was written"):
            check_same_grid((4, 5, 6), other, (4, 5, 6), AFFINE)
