"""Label maps as DICOM segmentation objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components import __version__
from components.files import replacing

from .files import library
from .references import check_source, refer, stand_ins
from .series import series_number
from .volume import LPS_TO_RAS, Volume

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

STRUCTURES = {
    "adrenal gland": "AdrenalGland",
    "aorta": "Aorta",
    "duodenum": "Duodenum",
    "gallbladder": "Gallbladder",
    "inferior vena cava": "InferiorVenaCava",
    "kidney": "Kidney",
    "left ventricle": "LeftVentricle",
    "liver": "Liver",
    "myocardium": "LeftVentricleMyocardium",
    "oesophagus": "Esophagus",
    "pancreas": "Pancreas",
    "right ventricle": "RightVentricle",
    "spleen": "Spleen",
    "stomach": "Stomach",
}
"""Names of our labels, without the side, and of their SNOMED CT concepts in pydicom; ACDC's myocardium is the left."""
SIDES = {"left": "Left", "right": "Right"}
PRIVATE = "99SCANSEG"
"""Coding scheme of labels that have no concept here."""
MANUFACTURER = "scanseg"
SERIES_OFFSET = 1000
"""Added to the number of the series that was segmented."""


def write_segmentation(
    path: Path, labels: np.ndarray, volume: Volume, names: Mapping[int, str], model: str, weights: str
) -> None:
    """Write a binary DICOM segmentation with one segment for each label, whether it occurs or not.

    Type 2 attributes of patient and study that the series lacks are empty in it.

    Args:
        path: the file to be.
        labels: columns × rows × slices, as the image of the volume.
        volume: the series that was segmented; it is referenced.
        names: name of each label; 0, the background, gets no segment.
        model: name and version of the bundle.
        weights: SHA-256 of the weights.

    Raises:
        ValueError: as of :func:`check_source`.
    """
    hd = library("highdicom")
    check_source(volume)
    images = stand_ins(volume)
    first = volume.planes[0]
    affine = (LPS_TO_RAS @ volume.image.affine)[:, [2, 1, 0, 3]]
    affine[:3, 0] = first.normal * np.linalg.norm(affine[:3, 0])  # within the tolerance it is not quite along it
    array = np.ascontiguousarray(labels.transpose(2, 1, 0)).astype(np.uint8)
    geometry = hd.VolumeGeometry(
        affine, array.shape, coordinate_system="PATIENT", frame_of_reference_uid=images[0].FrameOfReferenceUID
    )
    segmentation = hd.seg.Segmentation(
        source_images=images,
        pixel_array=geometry.with_array(array),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(n, name, model, weights) for n, name in sorted(names.items()) if n],
        series_instance_uid=hd.UID(),
        series_number=max(1, SERIES_OFFSET + (series_number(first.dataset) or 0)),
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=model,
        software_versions=__version__,
        device_serial_number=weights[:16],
        series_description=f"Segmentation by {model}"[:64],
        specific_character_set="ISO_IR 192" if first.dataset.get("SpecificCharacterSet") else None,
        content_label="SEGMENTATION",
        content_description=f"Labels by {model}, for research only"[:64],
    )
    refer(segmentation, images, volume)
    with replacing(path) as partial:
        segmentation.save_as(partial)


def concept(name: str) -> tuple[Any, Any, str]:
    """Category and type of a label as coded concepts, and its side ("left", "right" or nothing)."""
    codes = library("pydicom.sr.codedict").codes
    hd = library("highdicom")
    side, _, rest = name.partition(" ")
    if name in STRUCTURES:
        return codes.SCT.AnatomicalStructure, getattr(codes.SCT, STRUCTURES[name]), ""
    if side in SIDES and rest in STRUCTURES:
        return codes.SCT.AnatomicalStructure, getattr(codes.SCT, STRUCTURES[rest]), side
    code = "".join(letter if letter.isalnum() else "_" for letter in name)[:16]
    return codes.SCT.Tissue, hd.sr.CodedConcept(code, PRIVATE, name), ""


def _segment(number: int, name: str, model: str, weights: str) -> SegmentDescription:
    hd = library("highdicom")
    codes = library("pydicom.sr.codedict").codes
    category, kind, side = concept(name)
    algorithm = hd.AlgorithmIdentificationSequence(
        name="scanseg",
        version=__version__,
        family=codes.DCM.ArtificialIntelligence,
        source=MANUFACTURER,
        parameters={"bundle": model, "weights": weights},
    )
    segment = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )
    if side:
        modifier = hd.sr.CodedConcept.from_code(getattr(codes.SCT, SIDES[side]))
        segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return segment
