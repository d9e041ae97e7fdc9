"""DICOM as it is found: with tags missing, odd encodings, and several volumes in a series.

SimpleITK and dcm2niix are the oracles of places and values, highdicom and pydicom of segmentations.
"""

import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pydicom
import pydicom.fileset
import pytest
import SimpleITK as sitk
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from scripts.predict.cases import find_cases
from scripts.predict.dicom import check_source, find_series, is_dicom, read_series, write_segmentation
from tests.scripts.predict import dicom_files
from tests.scripts.predict.test_dicom import same_grid
from tests.timeouts import HANG

hd = pytest.importorskip("highdicom")
NAMES = {0: "background", 1: "liver", 2: "left kidney"}


@pytest.fixture
def series(ct, tmp_path):
    """A folder with an axial series: 31 × 20 pixels, 4 slices."""
    dicom_files.write_series(tmp_path / "scans" / "thorax", ct.slicer[::2, ::2])
    return tmp_path / "scans" / "thorax"


def read(folder, modality="CT", number=None):
    files = sorted(path for path in folder.rglob("*") if path.is_file() and is_dicom(path))
    found, _ = find_series(files, folder)
    assert [s.fault for s in found] == [""]
    return read_series(found[0].files, modality, number)


def array(volume):
    return np.asanyarray(volume.image.dataobj)


def change_all(folder, function, **settings):
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        function(dataset)
        dataset.save_as(path, **settings)


def by_dcm2niix(folder, out):
    """The images that dcm2niix makes of a folder, turned to our axes, in the order of their names."""
    dcm2niix = pytest.importorskip("dcm2niix")
    out.mkdir()
    change_all(folder, taken_at_once)
    command = [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "%s_%e", "-o", str(out), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=HANG)
    return [nib.load(path) for path in sorted(out.glob("*.nii"))]


def taken_at_once(dataset):
    """SimpleITK gives each file the time at which it was written, by which dcm2niix tells volumes apart."""
    for what in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{what}Date", "20200101")
        setattr(dataset, f"{what}Time", "120000")


def same_as_dcm2niix(volume, image):
    """Each voxel of ours is at the same place and has the same value as theirs."""
    ours, theirs = volume.image, np.asanyarray(image.dataobj)
    moved = np.linalg.inv(image.affine) @ ours.affine
    places = np.indices(ours.shape).reshape(3, -1)
    there = moved[:3, :3] @ places + moved[:3, 3:]
    np.testing.assert_allclose(there, np.rint(there), atol=1e-3)
    np.testing.assert_array_equal(array(volume).ravel(), theirs[tuple(np.rint(there).astype(int))])


def deleted(*names):
    def change(dataset):
        for name in names:
            if name in dataset:
                del dataset[name]

    return change


def emptied(*names):
    return lambda dataset: [setattr(dataset, name, "") for name in names]


def without_preamble(folder):
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
        path.rename(path.with_suffix(""))


def without_meta(folder):
    """As programs of before 1993 wrote them: the data set alone, implicit."""
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        with path.open("wb") as file:
            writer = pydicom.filebase.DicomFileLike(file)
            writer.is_implicit_VR, writer.is_little_endian = True, True
            pydicom.filewriter.write_dataset(writer, pydicom.Dataset(dict(dataset.items())))
        path.rename(path.with_suffix(""))


def copied(folder):
    shutil.copytree(folder, folder / "copy of")


def copied_with_new_uids(folder):
    copied(folder)
    change_all(folder / "copy of", lambda d: setattr(d, "SOPInstanceUID", pydicom.uid.generate_uid()))


def encoded(syntax):
    def change(folder):
        def compress(dataset):
            dataset.compress(syntax, generate_instance_uid=False)

        change_all(folder, compress)

    return change


def written(syntax):
    """In another uncompressed encoding."""

    def change(folder):
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            dataset.file_meta.TransferSyntaxUID = syntax
            if syntax == ExplicitVRBigEndian:
                dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
            implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
            pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little, force_encoding=True)

    return change


def high_bits(sign):
    """12 bits stored in 16, the others filled with rubbish."""

    def change(dataset):
        values = dataset.pixel_array.astype(int)
        stored = np.clip(values, -2048, 2047) if sign else np.clip(values + 2048, 0, 4095)
        rubbish = np.random.default_rng(0).integers(0, 16, values.shape) << 12
        dataset.PixelData = ((stored & 0xFFF) | rubbish).astype("<u2").tobytes()
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, int(sign)
        dataset.RescaleIntercept = dataset.RescaleIntercept if sign else dataset.RescaleIntercept - 2048

    return lambda folder: change_all(folder, change)


def by_tag(function):
    return lambda folder: change_all(folder, function)


def padded(dataset):
    dataset.add_new("PixelPaddingValue", "SS", -1024)


def reversed_numbers(dataset):
    dataset.InstanceNumber = 100 - dataset.InstanceNumber


def other_slopes(dataset):
    dataset.RescaleSlope = int(dataset.InstanceNumber)


def by_itk(kind):
    """Compressed by SimpleITK; without SimpleITK there is no decoder of lossless JPEG in pydicom's own packages."""

    def change(folder):
        for path in folder.iterdir():
            reader = sitk.ImageFileReader()
            reader.SetFileName(str(path))
            reader.LoadPrivateTagsOn()
            read = reader.Execute()
            image = sitk.Cast(read, sitk.sitkInt16)
            for key in {*read.GetMetaDataKeys()} - {"0028|1052", "0028|1053"}:  # the writer would undo the rescaling
                image.SetMetaData(key, read.GetMetaData(key))
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()
            writer.UseCompressionOn()
            writer.SetCompressor(kind)
            writer.SetFileName(str(path))
            writer.Execute(image)

    return change


SAME_FILES = {
    "FrameOfReferenceUID deleted": by_tag(deleted("FrameOfReferenceUID")),
    "FrameOfReferenceUID emptied": by_tag(emptied("FrameOfReferenceUID")),
    "emptied by an anonymiser": by_tag(emptied("SOPClassUID", "StudyInstanceUID", "PatientID", "PatientName")),
    "no type 2": by_tag(deleted("StudyID", "StudyDate", "PatientID", "AccessionNumber", "SeriesNumber")),
    "no rescaling": by_tag(deleted("RescaleSlope", "RescaleIntercept")),
    "rescaling emptied": by_tag(emptied("RescaleSlope", "RescaleIntercept")),
    "another slope for each slice": by_tag(other_slopes),
    "padding value": by_tag(padded),
    "instance numbers the other way round": by_tag(reversed_numbers),
    "no InstanceNumber": by_tag(deleted("InstanceNumber")),
    "12 bits": high_bits(False),
    "12 bits with a sign": high_bits(True),
    "implicit": written(ImplicitVRLittleEndian),
    "big endian": written(ExplicitVRBigEndian),
    "deflated": written(DeflatedExplicitVRLittleEndian),
    "JPEG-LS": encoded(JPEGLSLossless),
    "RLE": encoded(RLELossless),
    "lossless JPEG": by_itk("JPEG"),
    "JPEG 2000": by_itk("JPEG2000"),
}


@pytest.mark.parametrize("name", SAME_FILES)
def test_what_simpleitk_reads_is_read(name, series):
    SAME_FILES[name](series)
    theirs = dicom_files.read_series(series)
    volume = read(series)
    np.testing.assert_array_equal(array(volume), dicom_files.values(theirs))
    same_grid(volume.image, theirs)


SAME_SERIES = {
    "SeriesInstanceUID deleted": by_tag(deleted("SeriesInstanceUID")),
    "SeriesInstanceUID emptied": by_tag(emptied("SeriesInstanceUID")),
    "no preamble": without_preamble,
    "no file meta information": without_meta,
    "copies": copied,
    "copies with UIDs of their own": copied_with_new_uids,
    "SOPInstanceUID deleted": by_tag(deleted("SOPInstanceUID")),
    "slope 0": by_tag(lambda dataset: setattr(dataset, "RescaleSlope", 0)),
}


@pytest.mark.parametrize("name", SAME_SERIES)
def test_the_same_series_in_another_dress(name, series):
    """What SimpleITK does not find in a folder, but its untouched twin has."""
    theirs = dicom_files.read_series(series)
    SAME_SERIES[name](series)
    volume = read(series)
    np.testing.assert_array_equal(array(volume), dicom_files.values(theirs))
    same_grid(volume.image, theirs)


def test_dcm2niix_agrees(series, tmp_path):
    change_all(series, deleted("FrameOfReferenceUID"))
    (image,) = by_dcm2niix(series, tmp_path / "nifti")
    same_as_dcm2niix(read(series), image)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_monochrome1(modality, signed, series):
    """The values of CT have a unit and stay; those of all else are turned round, as SimpleITK does."""
    before = array(read(series))

    def change(dataset):
        dataset.PhotometricInterpretation, dataset.Modality = "MONOCHROME1", modality
        if not signed:
            dataset.PixelData = (dataset.pixel_array.astype(int) + 2000).astype("<u2").tobytes()
            dataset.PixelRepresentation, dataset.RescaleIntercept = 0, dataset.RescaleIntercept - 2000
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = dicom_files.CLASSES[modality]

    change_all(series, change)
    volume = read(series, modality)
    if modality == "CT":
        np.testing.assert_array_equal(array(volume), before)
    else:
        np.testing.assert_array_equal(array(volume), dicom_files.values(dicom_files.read_series(series)))


def test_lookup_table_of_the_modality(series):
    def change(dataset):
        dataset.PixelData = np.tile(np.arange(4, dtype="<u2"), 155).tobytes()
        dataset.PixelRepresentation = 0
        table = pydicom.Dataset()
        table.add_new("LUTDescriptor", "US", [4, 0, 16])
        table.ModalityLUTType = "HU"
        table.add_new("LUTData", "US", [7, 40, 100, 5 + dataset.InstanceNumber])
        dataset.ModalityLUTSequence = [table]
        del dataset["RescaleSlope"], dataset["RescaleIntercept"]

    change_all(series, change)
    found = array(read(series))
    assert [sorted(np.unique(found[..., z])) for z in (0, 3)] == [[6, 7, 40, 100], [7, 9, 40, 100]]


def test_float_pixels(series):
    def change(dataset):
        values = dataset.pixel_array / 8 + 0.125
        del dataset["PixelData"]
        dataset.FloatPixelData = values.astype("<f4").tobytes()
        dataset.BitsAllocated = 32
        deleted("BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept")(dataset)

    before = np.stack([pydicom.dcmread(path).pixel_array.T for path in dicom_files.slices(series)], -1) / 8 + 0.125
    change_all(series, change)
    np.testing.assert_array_equal(array(read(series)), before)


def coloured(kind):
    def change(dataset):
        dataset.PhotometricInterpretation = kind
        if kind != "PALETTE COLOR":
            dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0

    return by_tag(change)


def set_to(name, value):
    return by_tag(lambda dataset: setattr(dataset, name, value))


def shifted(function):
    def change(dataset):
        dataset.ImagePositionPatient = list(function(*dataset.ImagePositionPatient, int(dataset.InstanceNumber)))

    return by_tag(change)


def test_without_a_decoder_the_package_is_named(series, monkeypatch):
    by_itk("JPEG")(series)
    (syntax,) = {pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in series.iterdir()}
    assert syntax in (JPEGLossless, JPEGLosslessSV1)
    if pydicom.pixels.get_decoder(syntax).is_available:
        pytest.skip("a decoder is installed")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(ValueError, match=r"compressed \(JPEG Lossless.*pip install SimpleITK, or pylibjpeg"):
        read(series)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (coloured("RGB"), r"is in colour \(RGB\)"),
        (coloured("YBR_FULL_422"), r"is in colour \(YBR_FULL_422\)"),
        (coloured("PALETTE COLOR"), r"is in colour \(PALETTE COLOR\)"),
        (set_to("ImageType", ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]), "Siemens mosaic.*dcm2niix"),
        (by_tag(deleted("PixelSpacing")), "4 of 4 slices have no PixelSpacing"),
        (by_tag(deleted("ImageOrientationPatient")), "4 of 4 slices have no ImageOrientationPatient"),
        (by_tag(emptied("ImagePositionPatient")), "4 of 4 slices have no ImagePositionPatient"),
        (by_tag(deleted("PixelData")), "it has no PixelData"),
        (by_tag(deleted("Modality", "SOPClassUID")), "has no Modality, but the bundle takes MR"),
        (set_to("PixelSpacing", [0, 1]), r"PixelSpacing \[0\.0, 1\.0\] is not above 0"),
        (set_to("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "not two directions at right angles"),
        (shifted(lambda x, y, z, n: (x + 0.02 * n, y + 3 * n, z)), "stacked at an angle"),
        (shifted(lambda x, y, z, n: (x, y, z + 20 * (n > 2))), r"unevenly spaced|slices are missing"),
    ],
)  # fmt: skip
def test_what_is_no_volume_is_told(damage, told, series):
    damage(series)
    if "takes MR" in told:
        for path in series.iterdir():
            dicom_files.change(path, lambda d: setattr(d.file_meta, "MediaStorageSOPClassUID", "1.2.3"))
    with pytest.raises(ValueError, match=told) as caught:
        read_series(sorted(series.iterdir()), "MR" if "takes MR" in told else "CT")
    assert "\n" not in str(caught.value)


def test_slow_drift_is_a_tilt(ct, tmp_path):
    """0.3° beside the normal are a few µm from slice to slice, and millimetres from the first to the last."""
    tall = nib.Nifti1Image(np.tile(np.asanyarray(ct.dataobj)[:20, :20], (1, 1, 30)), ct.affine)
    dicom_files.write_series(tmp_path / "s", tall, order=1, count=1000)
    shifted(lambda x, y, z, n: (x + 0.024 * n, y, z))(tmp_path / "s")
    with pytest.raises(ValueError, match=r"stacked at an angle of 0\.3°"):
        read(tmp_path / "s")


def with_times(folder, tags):
    """Repeat the slices of a series, each time with other values of some tags and pixels that are 10 higher."""
    paths = dicom_files.slices(folder)
    for number, values in reversed(list(enumerate(tags))):
        for path in paths:
            dataset = pydicom.dcmread(path)
            for name, value in values.items():
                setattr(dataset, name, value)
            if number:
                dataset.PixelData = (dataset.pixel_array + np.int16(10 * number)).tobytes()
                dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
                dataset.InstanceNumber = dataset.InstanceNumber + 100 * number
            dataset.save_as(folder / f"{number}_{path.name}" if number else path)


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ([{"EchoTime": 4.5}, {"EchoTime": 2.5}], "EchoTime 2.5, 4.5"),
        ([{"TemporalPositionIdentifier": n} for n in (1, 2, 3)], "TemporalPositionIdentifier 1, 2, 3"),
        ([{"ImageType": ["ORIGINAL", "PRIMARY", kind]} for kind in ("M", "P")], "ImageType ORIGINAL"),
        ([{}, {}], ""),
    ],
    ids=str,
)
def test_series_with_several_volumes(tags, told, series, tmp_path):
    before = array(read(series))
    with_times(series, tags)
    with pytest.raises(
        ValueError, match=rf"several volumes \(echoes or time points\) in one series, {len(tags)}"
    ) as error:
        read(series)
    assert told in str(error.value)
    assert f"--volume 1 … {len(tags)}" in str(error.value)
    order = np.argsort([values.get("EchoTime", 0) for values in tags], kind="stable")
    for number, added in enumerate(order, 1):
        volume = read(series, number=number)
        np.testing.assert_array_equal(array(volume), before + 10 * added)
    with pytest.raises(ValueError, match=f"--volume {len(tags) + 1} was asked for, but there are {len(tags)} volumes"):
        read(series, number=len(tags) + 1)
    if "EchoTime" in tags[0]:
        for number, image in enumerate(by_dcm2niix(series, tmp_path / "nifti"), 1):
            same_as_dcm2niix(read(series, number=number), image)


def test_a_time_point_that_is_not_whole(series):
    with_times(series, [{}, {}])
    dicom_files.slices(series)[-1].unlink()
    with pytest.raises(ValueError, match=r"3 of 7 slices are at the position of another one.*not all are complete"):
        read(series)


def enhanced(series, path, volumes=1, one_frame=False):
    """The series as an enhanced file, or one for each frame; with several volumes the dimension index is private."""
    single = [pydicom.dcmread(slice_path) for slice_path in dicom_files.slices(series)]
    for dataset in single:
        dataset.ImageType, dataset.AcquisitionNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], 1
        dataset.SpacingBetweenSlices = dataset.SliceThickness
    uid, made = hd.UID(), []
    groups = [[dataset] for dataset in single] if one_frame else [single]
    for number, group in enumerate(groups, 1):
        image = hd.legacy.LegacyConvertedEnhancedCTImage(
            group, series_instance_uid=uid, series_number=4, sop_instance_uid=hd.UID(), instance_number=number
        )
        frames = list(image.PerFrameFunctionalGroupsSequence)
        pixels = image.pixel_array.reshape(len(frames), *image.pixel_array.shape[-2:])
        image.PerFrameFunctionalGroupsSequence = []
        for volume in range(volumes):
            for frame in frames:
                frame = pydicom.Dataset(dict(frame.items()))
                echo = pydicom.Dataset()
                echo.EffectiveEchoTime = 2.5 * (volumes - volume)
                frame.MREchoSequence = [echo]
                image.PerFrameFunctionalGroupsSequence.append(frame)
        if volumes > 1:
            image.NumberOfFrames = volumes * len(frames)
            image.PixelData = np.concatenate([pixels + np.int16(10 * volume) for volume in range(volumes)]).tobytes()
            index = pydicom.Dataset()
            index.DimensionIndexPointer = pydicom.tag.Tag(0x2005106E)
            index.DimensionIndexPrivateCreator = "Philips MR Imaging DD 002"
            image.DimensionIndexSequence = [index]
        target = path / f"{number}.dcm"
        image.save_as(target)
        made.append(target)
    return made


@pytest.mark.parametrize("one_frame", [False, True])
def test_enhanced(one_frame, series, tmp_path):
    theirs = dicom_files.read_series(series)
    (tmp_path / "enhanced").mkdir()
    enhanced(series, tmp_path / "enhanced", one_frame=one_frame)
    volume = read(tmp_path / "enhanced")
    np.testing.assert_array_equal(array(volume), dicom_files.values(theirs))
    same_grid(volume.image, theirs)
    check_segmentation(volume, tmp_path / "seg.dcm", dict.fromkeys((tmp_path / "enhanced").iterdir()))


def test_enhanced_with_several_volumes(series, tmp_path):
    before = array(read(series))
    (tmp_path / "enhanced").mkdir()
    (path,) = enhanced(series, tmp_path / "enhanced", volumes=2)
    with pytest.raises(
        ValueError, match=r"several volumes .* in one file, 2 by EffectiveEchoTime 2.5, 5: .*--volume 1 … 2"
    ):
        read(tmp_path / "enhanced")
    for number, added in ((1, 10), (2, 0)):
        volume = read(tmp_path / "enhanced", number=number)
        np.testing.assert_array_equal(array(volume), before + added)
        frames = {plane.frame + 1 for plane in volume.planes}
        check_segmentation(volume, tmp_path / f"{number}.dcm", {path: frames})


def check_segmentation(volume, path, sources):
    """Write a segmentation and let highdicom and pydicom judge it.

    ``sources`` has the frames that it must refer to by file, None for images of one frame.
    """
    labels = (array(volume) > 50).astype(np.uint8) + 2 * (array(volume) < -500).astype(np.uint8)
    write_segmentation(path, labels, volume, NAMES, "bundle 1", "a" * 64)
    segmentation = hd.seg.segread(path)
    to_voxels = np.linalg.inv(np.diag([-1, -1, 1, 1]) @ volume.image.affine)
    segmentation.get_volume(combine_segments=True, allow_missing_positions=True)
    (measures,) = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    spacing = nib.affines.voxel_sizes(volume.image.affine)
    np.testing.assert_allclose([*measures.PixelSpacing, measures.SpacingBetweenSlices], spacing[[1, 0, 2]], rtol=1e-6)
    found = np.zeros_like(labels)
    pixels = segmentation.pixel_array.reshape(-1, *labels.shape[1::-1])
    for frame, groups in zip(pixels, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        place = to_voxels @ [*groups.PlanePositionSequence[0].ImagePositionPatient, 1]
        np.testing.assert_allclose(place[:3], [0, 0, np.rint(place[2])], atol=1e-4)
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[..., round(place[2])][frame.T > 0] = number
    np.testing.assert_array_equal(found, labels)
    datasets = {file: pydicom.dcmread(file, force=True) for file in sources}
    wanted = {str(d.get("SOPInstanceUID") or d.file_meta.MediaStorageSOPInstanceUID): d for d in datasets.values()}
    (referenced,) = segmentation.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == next(iter(wanted.values())).SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} == set(wanted)
    for item in referenced.ReferencedInstanceSequence:
        source = wanted[item.ReferencedSOPInstanceUID]
        assert item.ReferencedSOPClassUID == (source.get("SOPClassUID") or source.file_meta.MediaStorageSOPClassUID)
    items = [
        item
        for frame in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in frame.DerivationImageSequence
        for item in derivation.SourceImageSequence
    ]
    assert {item.ReferencedSOPInstanceUID for item in items} <= set(wanted)
    for frames in filter(None, sources.values()):
        assert {int(item.ReferencedFrameNumber) for item in items} <= frames
    for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        assert name in segmentation  # type 2: there, though perhaps empty
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert pydicom.uid.UID(segmentation[name].value).is_valid
    return segmentation


TYPE_2 = [
    "StudyID", "PatientBirthDate", "AccessionNumber", "PatientSex", "StudyDate", "StudyTime", "PatientName",
    "PatientID", "ReferringPhysicianName", "SeriesNumber", "Manufacturer", "PatientPosition", "InstanceNumber",
    "ImageType",
]  # fmt: skip
MADE = ["FrameOfReferenceUID", "StudyInstanceUID", "SOPClassUID", "Modality"]
NEEDED = ["SeriesInstanceUID", "SOPInstanceUID"]


@pytest.mark.parametrize("how", [emptied, deleted])
@pytest.mark.parametrize("name", [*TYPE_2, *MADE])
def test_segmentations_of_series_without(name, how, series, tmp_path):
    change_all(series, how(name))
    change_all(series, lambda dataset: setattr(dataset, "SpacingBetweenSlices", 1))  # wrong, as in many files
    volume = read(series, "")
    check_source(volume)
    segmentation = check_segmentation(volume, tmp_path / "seg.dcm", dict.fromkeys(series.iterdir()))
    if name in TYPE_2[:9]:
        assert segmentation[name].is_empty
    again = check_segmentation(read(series, ""), tmp_path / "again.dcm", dict.fromkeys(series.iterdir()))
    assert again.StudyInstanceUID == segmentation.StudyInstanceUID
    assert again.FrameOfReferenceUID == segmentation.FrameOfReferenceUID


def test_a_segmentation_needs_uids_to_refer_to(series):
    for name in NEEDED:
        change_all(series, lambda d, name=name: setattr(d, name, ""))
        if name == "SOPInstanceUID":
            change_all(series, lambda d: setattr(d, "SeriesInstanceUID", "1.2.3"))
            change_all(series, lambda d: deleted("MediaStorageSOPInstanceUID")(d.file_meta), enforce_file_format=False)
        with pytest.raises(ValueError, match=f"by their {name}, which 4 of 4 files do not have: leave --dicom_seg out"):
            check_source(read(series))


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jürgen"}, "Müller^Jürgen"),
        ({"SpecificCharacterSet": "ISO_IR 192", "PatientName": "山田^太郎"}, "山田^太郎"),
        ({"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada=山田^太郎"}, "Yamada=山田^太郎"),
        ({"PatientSex": "male", "StudyDate": "20"}, "Doe^Jane"),
    ],
    ids=str,
)  # fmt: skip
def test_segmentations_keep_names_and_drop_what_is_not_allowed(values, kept, series, tmp_path):
    def change(dataset):
        for name, value in values.items():
            dataset[name] = pydicom.DataElement(name, pydicom.datadict.dictionary_VR(name), value, validation_mode=0)

    change_all(series, change)
    segmentation = check_segmentation(read(series), tmp_path / "seg.dcm", dict.fromkeys(series.iterdir()))
    assert str(segmentation.PatientName) == kept
    assert not segmentation.get("PatientSex")


def test_a_folder_of_everything(ct, series, tmp_path):
    """A series, a scout, a structure set, a segmentation, a report and a DICOMDIR in one folder."""
    root = series.parent
    change_all(series, taken_at_once)
    change_all(series, lambda dataset: setattr(dataset, "StudyID", "1"))  # pydicom needs it for the DICOMDIR
    check_segmentation(read(series), root / "seg.dcm", dict.fromkeys(series.iterdir()))
    dicom_files.write_series(root / "scout", ct.slicer[:, :, :1], **{"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"})
    for modality in ("RTSTRUCT", "SR"):
        dataset = pydicom.dcmread(next(series.iterdir()))
        dataset.Modality = modality
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        dataset.save_as(root / f"{modality}.dcm")
    directory = pydicom.fileset.FileSet()
    for path in series.iterdir():
        directory.add(path)
    directory.write(tmp_path / "disc")
    shutil.copy(tmp_path / "disc" / "DICOMDIR", root / "DICOMDIR")
    cases, notes = find_cases(root)
    assert [(case.name, len(case.files)) for case in cases] == [("thorax", 4)]
    assert notes == ["1 localizer images were left out", "3 DICOM objects that are not images were left out"]
    for source in (tmp_path / "disc", tmp_path / "disc" / "DICOMDIR"):
        (case,), _ = find_cases(source)
        np.testing.assert_array_equal(array(read_series(case.files, "CT")), array(read(series)))
