"""What a segmentation refers to: the images of a volume, in a form that highdicom takes whatever they lack.

highdicom needs every attribute of type 2, a place at the top of each image, and functional groups that it knows. So it
is given one plain image for each slice, and afterwards the references get the files and frames that these stand for.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from .files import library, sop_class, sop_instance
from .planes import Plane
from .volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

TYPE_2 = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
"""What a patient and a study must have, though perhaps empty."""
DATES = {"PatientBirthDate": "DA", "StudyDate": "DA", "StudyTime": "TM"}
SEXES = ("M", "F", "O")
GROUPS = (
    "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
    "DimensionIndexSequence",
    "NumberOfFrames",
)
PLAIN = "1.2.840.10008.5.1.4.1.1.2"
"""SOP class that the stand-ins have: one without functional groups."""


def check_source(volume: Volume) -> None:
    """Check that a DICOM segmentation can refer to a volume, before anything is made for it.

    Raises:
        ValueError: that names the attribute which is missing.
        UserError: if highdicom is not installed.
    """
    library("highdicom")
    datasets = volume.datasets
    for name, found in (
        ("SeriesInstanceUID", [dataset.get("SeriesInstanceUID") for dataset in datasets]),
        ("SOPInstanceUID", [sop_instance(dataset) for dataset in datasets]),
        ("SOPClassUID", [sop_class(dataset) for dataset in datasets]),
    ):
        if lacking := sum(not value for value in found):
            raise ValueError(
                f"a DICOM segmentation refers to images by their {name}, which {lacking} of {len(found)} files do not "
                "have: leave --dicom_seg out, or give the original files"
            )
    if len({sop_instance(dataset) for dataset in datasets}) < len(datasets):
        raise ValueError(
            "several files have one SOPInstanceUID, so a DICOM segmentation cannot refer to them: leave "
            "--dicom_seg out, or give the original files"
        )


def stand_ins(volume: Volume) -> list[Dataset]:
    """One plain image for each plane, with all that highdicom asks for.

    What a patient and a study must have is empty if the files have nothing, or something that the standard does not
    allow there. A missing FrameOfReferenceUID or StudyInstanceUID is made from the UID of the series, always the same.
    """
    spacing = float(np.linalg.norm(volume.image.affine[:3, 2]))
    return [_stand_in(plane, volume.planes[0], spacing) for plane in volume.planes]


def refer(segmentation: Dataset, stood_in: list[Dataset], volume: Volume) -> None:
    """Let the references of a segmentation name the files and frames themselves, in place."""
    true = {image.SOPInstanceUID: plane for image, plane in zip(stood_in, volume.planes, strict=True)}
    for series in segmentation.get("ReferencedSeriesSequence", ()):
        for item in series.ReferencedInstanceSequence:
            _point(item, true)
        once = {item.ReferencedSOPInstanceUID: item for item in series.ReferencedInstanceSequence}
        series.ReferencedInstanceSequence = list(once.values())
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        for derivation in frame.get("DerivationImageSequence", ()):
            for item in derivation.SourceImageSequence:
                _point(item, true, frames=True)


def _point(item: Dataset, true: dict[str, Plane], frames: bool = False) -> None:
    plane = true.get(item.ReferencedSOPInstanceUID)
    if plane is None:  # frames of several segments share an item, which is changed already
        return
    item.ReferencedSOPClassUID = sop_class(plane.dataset)
    item.ReferencedSOPInstanceUID = sop_instance(plane.dataset)
    if frames and int(plane.dataset.get("NumberOfFrames") or 1) > 1:
        item.ReferencedFrameNumber = plane.frame + 1


def _stand_in(plane: Plane, first: Plane, spacing: float) -> Dataset:
    pydicom, hd = library("pydicom"), library("highdicom")
    source = first.dataset
    left_out = {pydicom.datadict.tag_for_keyword(name) for name in GROUPS}
    kept = {tag: item for tag, item in plane.dataset.items() if tag not in left_out and not tag.is_private}
    image = copy.deepcopy(pydicom.Dataset(kept))
    image.file_meta = copy.deepcopy(plane.dataset.file_meta)
    image.SOPClassUID, image.SOPInstanceUID = PLAIN, hd.UID()
    image.Modality = image.get("Modality") or "OT"
    for name in TYPE_2:
        setattr(image, name, _allowed(name, source.get(name)))
    for name in ("StudyInstanceUID", "FrameOfReferenceUID"):
        made = pydicom.uid.generate_uid(entropy_srcs=[str(source.SeriesInstanceUID), name])
        setattr(image, name, source.get(name) or made)
    image.SeriesInstanceUID = source.SeriesInstanceUID
    image.ImagePositionPatient = [pydicom.valuerep.DSfloat(x, auto_format=True) for x in plane.position]
    image.ImageOrientationPatient = [pydicom.valuerep.DSfloat(x, auto_format=True) for x in first.orientation]
    image.PixelSpacing = [pydicom.valuerep.DSfloat(x, auto_format=True) for x in first.spacing]
    # highdicom copies these two: what files say of the distance of slices is often wrong.
    image.SpacingBetweenSlices = pydicom.valuerep.DSfloat(spacing, auto_format=True)
    image.SliceThickness = image.get("SliceThickness") or image.SpacingBetweenSlices
    return image


def _allowed(name: str, value: object) -> object:
    """The value of an attribute, or nothing where the standard does not allow it there."""
    forms = library("pydicom.valuerep")
    text = str(value or "").strip()
    if name == "PatientSex":
        return text if text in SEXES else ""
    if name in DATES:
        try:
            getattr(forms, DATES[name])(text)
        except ValueError:
            return ""
    return value if text else ""
