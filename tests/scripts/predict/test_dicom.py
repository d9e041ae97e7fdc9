"""DICOM series in, NIfTI and DICOM segmentations out."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from scripts.bundle.inference import InferenceBundle
from scripts.errors import UserError
from scripts.predict import Predictor, predict
from scripts.predict.dicom import find_series, read_series
from scripts.predict.dicom.segmentation import concept
from tests.scripts.predict import dicom_files

hd = pytest.importorskip("highdicom")
BUNDLE = "msvm_synapse"
ORIENTATIONS = {
    "axial": np.diag([-1.0, -1, 1]),
    "feet first": np.diag([1.0, -1, -1]),
    "sagittal": np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
    "oblique": Rotation.from_euler("xyz", [10, -5, 20], degrees=True).as_matrix() @ np.diag([-1.0, -1, 1]),
}


@pytest.fixture
def series(ct, tmp_path):
    """A folder with an axial series."""
    dicom_files.write_series(tmp_path / "scans" / "thorax", ct)
    return tmp_path / "scans" / "thorax"


def same_grid(image, volume):
    """The affine of a NIfTI image is that of a SimpleITK volume."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(volume.GetDirection(), (3, 3)) * volume.GetSpacing()
    affine[:3, 3] = volume.GetOrigin()
    np.testing.assert_allclose(image.affine, np.diag([-1, -1, 1, 1]) @ affine, atol=1e-4)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_volume_is_that_of_simpleitk(name, ct, tmp_path):
    turned = np.eye(4)
    turned[:3, :3] = ORIENTATIONS[name] * [2.0, 1.5, 4.0]
    turned[:3, 3] = [10, -20, 30]
    dicom_files.write_series(tmp_path / "s", nib.Nifti1Image(np.asanyarray(ct.dataobj), turned))
    volume = read_series(sorted((tmp_path / "s").iterdir()), "CT")
    theirs = dicom_files.read_series(tmp_path / "s")
    np.testing.assert_array_equal(np.asanyarray(volume.image.dataobj), sitk.GetArrayFromImage(theirs).T)
    same_grid(volume.image, theirs)
    assert {"PixelData" in dataset for dataset in volume.datasets} == {False}


def test_rescaling_gives_the_units_of_the_series(series):
    for path in series.iterdir():
        dicom_files.change(path, lambda d: setattr(d, "RescaleSlope", 2) or setattr(d, "RescaleIntercept", -500))
    volume = read_series(list(series.iterdir()), "CT")
    stored = pydicom.dcmread(dicom_files.slices(series)[0]).pixel_array
    np.testing.assert_array_equal(np.asanyarray(volume.image.dataobj)[:, :, 0], stored.T * 2.0 - 500)


def test_last_digits_of_the_orientation_do_not_matter(series):
    dicom_files.change(
        dicom_files.slices(series)[1], lambda d: setattr(d, "ImageOrientationPatient", [-1, 1e-6, 0, 1e-6, -1, 0])
    )
    same_grid(read_series(list(series.iterdir()), "CT").image, dicom_files.read_series(series))


def test_label_map_and_segmentation_agree(series, arguments, predictor, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(input=str(series.parent), output=str(out), dicom_seg=True, **arguments(BUNDLE)) == 0
    assert capsys.readouterr().out == f"1 done, 0 skipped, 0 failed; the results are in {out}\n"
    assert {p.name for p in out.iterdir()} == {
        "thorax_pred.nii.gz", "thorax_pred.dcm", "thorax_pred.json", "labels.json"
    }  # fmt: skip
    image = nib.load(out / "thorax_pred.nii.gz")
    labels = np.asanyarray(image.dataobj)
    theirs = dicom_files.read_series(series)
    same_grid(image, theirs)
    assert labels.shape == theirs.GetSize()
    sitk.WriteImage(theirs, str(tmp_path / "theirs.nii.gz"))
    np.testing.assert_array_equal(labels, predictor(BUNDLE)(tmp_path / "theirs.nii.gz").labels)

    segmentation = hd.seg.segread(out / "thorax_pred.dcm")
    volume = segmentation.get_volume(combine_segments=True)
    found = np.zeros_like(labels)
    voxels = np.linalg.inv(np.diag([-1, -1, 1, 1]) @ image.affine) @ volume.affine  # of the one to the other
    places = np.argwhere(volume.array)
    moved = np.rint(places @ voxels[:3, :3].T + voxels[:3, 3]).astype(int)
    found[tuple(moved.T)] = volume.array[tuple(places.T)]
    np.testing.assert_array_equal(found, labels)
    names = InferenceBundle(BUNDLE).labels
    described = segmentation.SegmentSequence
    assert {s.SegmentNumber: s.SegmentLabel for s in described} == {n: names[n] for n in names if n}
    assert {s.SegmentAlgorithmType for s in described} == {"AUTOMATIC"}
    assert {s.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName for s in described} == {"scanseg"}
    source = pydicom.dcmread(next(series.iterdir()))
    assert segmentation.PatientID == "patient"
    assert segmentation.StudyInstanceUID == source.StudyInstanceUID
    assert segmentation.FrameOfReferenceUID == source.FrameOfReferenceUID
    referenced = {
        i.ReferencedSOPInstanceUID for i in segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced == {pydicom.dcmread(path).SOPInstanceUID for path in series.iterdir()}


def test_what_a_segmentation_needs_is_checked_before_the_inference(series, arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Predictor, "segment", lambda *_: pytest.fail("the network ran"))
    for path in series.iterdir():
        dicom_files.change(path, lambda d: setattr(d, "SeriesInstanceUID", ""))
    words = {"input": str(series), "output": str(tmp_path / "out"), "volume": 1, **arguments(BUNDLE)}
    assert predict(dicom_seg=True, **words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("failed: thorax_volume1: ")
    assert "by their SeriesInstanceUID, which 4 of 4 files do not have: leave --dicom_seg out" in line


@pytest.mark.parametrize(
    ("name", "value", "side"),
    [
        ("liver", "10200004", ""),
        ("left kidney", "64033007", "left"),
        ("right adrenal gland", "23451007", "right"),
        ("left ventricle", "87878005", ""),
        ("oesophagus", "32849002", ""),
    ],
)
def test_organs_are_snomed_concepts(name, value, side):
    category, kind, found = concept(name)
    assert (category.value, kind.value, kind.scheme_designator, found) == ("91723000", value, "SCT", side)


@pytest.mark.parametrize("bundle", ["msvm_synapse", "msvm_acdc", "xlstm_abdomen_mri_3d"])
def test_every_label_of_our_volumes_has_a_concept(bundle):
    for number, name in InferenceBundle(bundle).labels.items():
        assert number == 0 or concept(name)[1].scheme_designator == "SCT"


def test_other_labels_are_private_concepts():
    _, kind, _ = concept("large needle driver")
    assert kind.scheme_designator == "99SCANSEG"
    assert kind.meaning == "large needle driver"


def test_enhanced_multiframe_file(ct, tmp_path):
    dicom_files.write_series(tmp_path / "s", ct)
    single = [pydicom.dcmread(path) for path in dicom_files.slices(tmp_path / "s")]
    for dataset in single:
        dataset.ImageType, dataset.AcquisitionNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], 1
        dataset.SpacingBetweenSlices = dataset.SliceThickness  # SimpleITK says 1
    uids = {"series_instance_uid": hd.UID(), "sop_instance_uid": hd.UID()}
    enhanced = hd.legacy.LegacyConvertedEnhancedCTImage(single, series_number=4, instance_number=1, **uids)
    enhanced.save_as(tmp_path / "enhanced.dcm")
    expected = read_series(sorted((tmp_path / "s").iterdir()), "CT").image
    (found,), _ = find_series([tmp_path / "enhanced.dcm"], tmp_path)
    assert found.name == "enhanced"
    image = read_series(found.files, "CT").image
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), np.asanyarray(expected.dataobj))
    np.testing.assert_allclose(image.affine, expected.affine, atol=1e-4)


def moved(axis, by):
    def change(dataset):
        position = list(dataset.ImagePositionPatient)
        position[axis] += by
        dataset.ImagePositionPatient = position

    return change


def tilted(series):
    for number, path in enumerate(dicom_files.slices(series)):
        dicom_files.change(path, moved(1, number * 1.0))


def missing(series):
    dicom_files.slices(series)[1].unlink()


def uneven(series):
    dicom_files.change(dicom_files.slices(series)[1], moved(2, 1.0))


def doubled(series):
    first, *_ = dicom_files.slices(series)
    dataset = pydicom.dcmread(first)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.PixelData = bytes(reversed(dataset.PixelData))
    dataset.save_as(series / "again.dcm")


def crossed(series):
    dicom_files.change(
        dicom_files.slices(series)[0], lambda d: setattr(d, "ImageOrientationPatient", [0, 1, 0, 0, 0, -1])
    )


def placeless(series):
    def change(dataset):
        del dataset.ImagePositionPatient

    dicom_files.change(dicom_files.slices(series)[0], change)


def other_spacing(series):
    dicom_files.change(dicom_files.slices(series)[0], lambda d: setattr(d, "PixelSpacing", [1, 1]))


def compress(series, syntax):
    for path in series.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xf7\x00\x00"])
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path)


def compressed(series):
    if pydicom.pixels.get_decoder(pydicom.uid.JPEGLossless).is_available:
        pytest.skip("a decoder is installed")
    compress(series, pydicom.uid.JPEGLossless)


def badly_compressed(series):
    compress(series, pydicom.uid.JPEGLSLossless)


def cut(series):
    path = dicom_files.slices(series)[0]
    path.write_bytes(path.read_bytes()[:-500])


def of_mr(series):
    for path in series.iterdir():
        dicom_files.change(path, lambda d: setattr(d, "Modality", "MR"))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (missing, r"1 slices are missing, the first after the one at .* mm"),
        (uneven, r"unevenly spaced, from \S+ to \S+ mm"),
        (doubled, r"1 of 5 slices are at the position of another one"),
        (tilted, r"stacked at an angle of 12\.\d° \(gantry tilt\)"),
        (crossed, "not parallel"),
        (placeless, "1 of 4 slices have no ImagePositionPatient"),
        (other_spacing, "different pixel spacings"),
        (compressed, r"compressed \(JPEG Lossless.*pip install"),
        (badly_compressed, r"its pixels \(JPEG-LS Lossless.*\) are damaged"),
        (cut, "pixel data|cut off|bytes"),
        (of_mr, "of modality MR, but the bundle takes CT"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_no_volume_is_refused_with_the_reason(damage, told, series):
    damage(series)
    with pytest.raises(ValueError, match=told):
        read_series(list(series.iterdir()), "CT")


def test_series_of_one_folder_are_told_apart(ct, tmp_path):
    scans = tmp_path / "scans"
    for number in (2, 5):
        dicom_files.write_series(scans / f"tmp{number}", ct, number=number)
        for path in (scans / f"tmp{number}").iterdir():
            path.rename(scans / f"{number}_{path.stem}")  # without an ending, as on many discs
        (scans / f"tmp{number}").rmdir()
    dicom_files.write_series(scans / "scout", ct, **{"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"})
    structures = pydicom.dcmread(next((scans / "scout").iterdir()))
    structures.Modality = "RTSTRUCT"
    structures.save_as(scans / "structures.dcm")
    (scans / "broken.dcm").write_text("no DICOM")
    files = sorted(path for path in scans.rglob("*") if path.is_file())
    found, notes = find_series(files, scans)
    assert [(s.number, len(s.files), bool(s.fault)) for s in found if not s.fault] == [(2, 4, False), (5, 4, False)]
    assert [(s.name, s.fault) for s in found if s.fault] == [("broken", "it is not a readable DICOM file")]
    assert notes == ["4 localizer images were left out", "1 DICOM objects that are not images were left out"]


def test_missing_library_names_the_extra(series, arguments, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(UserError, match=r"DICOM needs pydicom: pip install 'scanseg\[dicom\]'"):
        predict(input=str(series), output=str(tmp_path / "out"), **arguments(BUNDLE))
