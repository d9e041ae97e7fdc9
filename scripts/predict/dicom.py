"""DICOM series: which files belong together, whether they make up a volume, and their voxels."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    from highdicom import VolumeGeometry
    from pydicom import Dataset

ENDINGS = (".dcm", ".dicom", ".ima")
HEADER = ["SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "ImageType", "NumberOfFrames", "Rows"]
"""What is read of each file to find the series."""
NO_IMAGES = ("SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "REG")
"""Modalities of what stands beside images."""
DIRECTORY = "1.2.840.10008.1.3.10"
UNEVEN = 0.01
"""Part of the spacing, and mm, by which the distances of slices may differ: positions are rounded in the files."""


@dataclass(frozen=True)
class Series:
    """Files that belong together.

    Args:
        name: of the folder with the files.
        files: in no special order.
        source: the folder with the files, relative to the input.
        number: its series number, if it has one.
        fault: why it cannot be read.
    """

    name: str
    files: tuple[Path, ...]
    source: str
    number: int | None = None
    fault: str = ""


@dataclass(frozen=True)
class Volume:
    """A DICOM series as a volume.

    Args:
        image: voxels, columns × rows × slices, with their affine to the patient (RAS, mm).
        geometry: the same grid for highdicom, slices × rows × columns.
        datasets: the files without their pixels.
    """

    image: nib.Nifti1Image
    geometry: VolumeGeometry
    datasets: list[Dataset]


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by the end of its name or by its content."""
    if path.name.lower().endswith(ENDINGS):
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def library(name: str) -> Any:
    """Import pydicom or highdicom.

    Raises:
        UserError: that names the extra to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"DICOM needs {name}: pip install 'scanseg[dicom]'") from error


def find_series(files: Sequence[Path], root: Path) -> tuple[list[Series], list[str]]:
    """Sort DICOM files into series; each multi-frame file is a series of its own.

    Localizers and objects without pixels (structure sets, segmentations, reports) are left out.

    Args:
        files: DICOM files of any number of series.
        root: folder that the sources are relative to.

    Returns:
        The series, in the order of their folders and numbers, and notes on what was left out.

    Raises:
        UserError: if pydicom is not installed.
    """
    pydicom = library("pydicom")
    groups: dict[tuple[str, str], list[tuple[Path, Any]]] = defaultdict(list)
    faulty, others, localizers = [], 0, 0
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=HEADER)
            if header.file_meta.get("MediaStorageSOPClassUID") == DIRECTORY:
                continue
            if "Rows" not in header or header.get("Modality") in NO_IMAGES:
                others += 1
            elif "LOCALIZER" in (header.get("ImageType") or ()):
                localizers += 1
            else:
                multiframe = int(header.get("NumberOfFrames") or 1) > 1
                groups[header.SeriesInstanceUID, header.SOPInstanceUID if multiframe else ""].append((path, header))
        except (pydicom.errors.InvalidDicomError, AttributeError, ValueError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no readable DICOM file"
            faulty.append(Series(path.stem, (path,), path.relative_to(root).as_posix(), fault=reason))
    found = [_series(group, root) for group in groups.values()]
    notes = []
    if localizers:
        notes.append(f"{localizers} localizer images were left out")
    if others:
        notes.append(f"{others} DICOM objects that are no images were left out")
    return sorted([*found, *faulty], key=lambda s: (s.source, s.number or 0, s.files)), notes


def read_series(files: Sequence[Path], modality: str) -> Volume:
    """Read the voxels of a series, in the units that its rescaling gives: Hounsfield units for CT.

    The grid is that of SimpleITK and most other software: columns, rows, and slices along their normal.

    Args:
        files: the slices in any order, or one multi-frame file.
        modality: what the bundle takes, "CT" or "MR"; any other word takes all.

    Raises:
        UserError: if a library is missing.
        ValueError: if the files are no regular volume of this modality, or cannot be decoded.
    """
    pydicom, hd = library("pydicom"), library("highdicom")
    datasets = [pydicom.dcmread(path) for path in files]
    first = datasets[0]
    found = str(first.get("Modality", ""))
    if modality in ("CT", "MR") and found != modality:
        raise ValueError(f"the series is of modality {found or '(none)'}, but the bundle takes {modality}")
    if int(first.get("SamplesPerPixel", 1)) != 1:
        raise ValueError("the series has colours, but a volume of one channel is needed")
    # Rescale slope and intercept, no display settings: what a network was trained on.
    settings = {"apply_real_world_transform": False, "apply_presentation_lut": False, "dtype": np.float32}
    try:
        if len(datasets) == 1 and int(first.get("NumberOfFrames") or 1) > 1:
            volume = hd.Image.from_dataset(first, copy=False).get_volume(**settings)
        else:
            tolerance = check_slices(datasets)
            # What highdicom compares exactly or takes as given is often rounded, missing or wrong in files.
            for dataset in datasets:
                dataset.ImageOrientationPatient = first.ImageOrientationPatient
                dataset.PixelSpacing = first.PixelSpacing
                if len(datasets) > 1:
                    dataset.SpacingBetweenSlices = None
                elif not dataset.get("SpacingBetweenSlices"):
                    dataset.SpacingBetweenSlices = dataset.get("SliceThickness") or 1
            volume = hd.get_volume_from_series(datasets, atol=tolerance, **settings)
    except UserError:
        raise
    except NotImplementedError as error:
        raise ValueError(_undecodable(first)) from error
    except (AttributeError, RuntimeError, ValueError) as error:
        told = " ".join(str(error).split())
        if "missing dependencies" in told:
            raise ValueError(_undecodable(first)) from error
        if "exceptions were raised" in told:
            raise ValueError(
                f"its pixels ({first.file_meta.TransferSyntaxUID.name}) are damaged: copy it again"
            ) from error
        raise ValueError(told) from error
    for dataset in datasets:
        del dataset.PixelData
        # highdicom copies these into a segmentation.
        dataset.SpacingBetweenSlices = volume.spacing_between_slices
        dataset.SliceThickness = dataset.get("SliceThickness") or volume.spacing_between_slices
    return _as_volume(volume, datasets)


def check_slices(datasets: Sequence[Dataset]) -> float:
    """Check that single slices make up a volume: parallel, above each other, evenly spaced, each place once.

    Args:
        datasets: the slices in any order.

    Returns:
        By how much the distances of the slices may differ, in mm.

    Raises:
        ValueError: if they do not; the message says why.
    """
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "FrameOfReferenceUID"):
        if lacking := sum(not dataset.get(name) for dataset in datasets):
            raise ValueError(f"{lacking} of {len(datasets)} slices have no {name}, so their place is not known")
    for names, what in ((("Rows", "Columns"), "sizes"), (("PixelSpacing",), "pixel spacings")):
        values = {tuple(np.ravel([dataset.get(name) for name in names]).astype(float)) for dataset in datasets}
        if len(values) > 1:
            shown = ", ".join(" × ".join(f"{v:g}" for v in value) for value in sorted(values)[:3])
            raise ValueError(f"the slices have different {what} ({shown}): these are several images in one series")
    orientations = np.array([dataset.ImageOrientationPatient for dataset in datasets], dtype=float)
    if np.abs(orientations - orientations[0]).max() > 1e-3:
        raise ValueError("the slices are not parallel: these are several stacks in one series")
    if len(datasets) == 1:
        return UNEVEN
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    positions = np.array([dataset.ImagePositionPatient for dataset in datasets], dtype=float)
    order = np.argsort(positions @ normal)
    places, steps = positions[order] @ normal, np.diff(positions[order], axis=0)
    gaps = np.diff(places)
    spacing = float(np.median(gaps))
    tolerance = UNEVEN + UNEVEN * spacing
    if doubled := int((gaps < tolerance).sum()):
        raise ValueError(
            f"{doubled} of {len(datasets)} slices are at the place of another one: "
            "these are several time points, echoes or reconstructions in one series"
        )
    sideways = steps - gaps[:, None] * normal
    if np.abs(sideways).max() > tolerance:
        tilt = np.degrees(np.arctan2(np.linalg.norm(sideways, axis=1), gaps)).max()
        raise ValueError(f"the slices are stacked obliquely, by {tilt:.1f}° (gantry tilt): resample the series first")
    if (np.abs(gaps - spacing) <= tolerance).all():
        return tolerance
    times = np.rint(gaps / gaps.min())
    if (np.abs(gaps - times * gaps.min()) <= times * tolerance).all():
        missing, where = int(times.sum()) - len(gaps), int(np.argmax(times > 1))
        raise ValueError(
            f"{missing} slices are missing, the first after the one at {places[where]:g} mm: copy the whole series"
        )
    raise ValueError(
        f"the slices are unevenly spaced, from {gaps.min():g} to {gaps.max():g} mm: resample the series first"
    )


def _series(group: list[tuple[Path, Any]], root: Path) -> Series:
    files = tuple(path for path, _ in group)
    folder = files[0].parent
    number = group[0][1].get("SeriesNumber")
    if int(group[0][1].get("NumberOfFrames") or 1) > 1:
        name, source = files[0].stem, files[0]
    else:
        name, source = folder.resolve().name, folder
    shown = source.relative_to(root).as_posix()
    return Series(name or "series", files, folder.resolve().name if shown == "." else shown, number and int(number))


def _as_volume(volume: Any, datasets: list[Dataset]) -> Volume:
    def columns_first(volume: Any) -> np.ndarray:
        return volume.affine[:, [2, 1, 0, 3]]

    if np.linalg.det(columns_first(volume)[:3, :3]) < 0:
        volume = volume.flip_spatial(0)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ columns_first(volume)
    image = nib.Nifti1Image(np.ascontiguousarray(volume.array.transpose(2, 1, 0)), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    return Volume(image, volume.get_geometry(), datasets)


def _undecodable(dataset: Dataset) -> str:
    syntax = dataset.file_meta.TransferSyntaxUID
    return (
        f"its pixels are compressed ({syntax.name}) and cannot be decoded here: pip install "
        "pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg, or python-gdcm, or decompress the files first"
    )
