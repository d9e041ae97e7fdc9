"""Which DICOM files belong together."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import DIRECTORY, library, read_file, sop_class, sop_instance

HEADER = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "ImageType", "NumberOfFrames",
    "Rows",
]  # fmt: skip
"""What is read of each file to find the series."""
NO_IMAGES = ("SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "SR", "PR", "KO", "REG", "DOC")
"""Modalities of what stands beside images."""
NO_IMAGE_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.{branch}" for branch in ("11.", "66", "88.", "104.", "481."))
"""Beginnings of their SOP classes: presentation states, segmentations, reports, documents, radiotherapy."""


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


def find_series(files: Sequence[Path], root: Path) -> tuple[list[Series], list[str]]:
    """Sort DICOM files into series; each multi-frame file is a series of its own.

    Files without SeriesInstanceUID belong together where folder, series number and modality are the same. Localizers
    and objects without pixels (structure sets, segmentations, reports) are left out.

    Args:
        files: DICOM files of any number of series.
        root: folder that the sources are relative to.

    Returns:
        The series, in the order of their folders and numbers, and notes on what was left out.

    Raises:
        UserError: if pydicom is not installed.
    """
    library("pydicom")
    groups: dict[tuple, list[tuple[Path, Any]]] = defaultdict(list)
    faulty, others, localizers = [], 0, 0
    for path in files:
        try:
            header = read_file(path, stop_before_pixels=True, specific_tags=HEADER)
            kind = sop_class(header)
            if kind == DIRECTORY:
                continue
            if "Rows" not in header or header.get("Modality") in NO_IMAGES or kind.startswith(NO_IMAGE_CLASSES):
                others += 1
            elif "LOCALIZER" in (header.get("ImageType") or ()):
                localizers += 1
            else:
                groups[_key(path, header)].append((path, header))
        except Exception as error:  # whatever the bytes make of the reader
            reason = (
                error.strerror if isinstance(error, OSError) and error.strerror else "it is not a readable DICOM file"
            )
            faulty.append(Series(path.stem, (path,), path.relative_to(root).as_posix(), fault=reason))
    found = [_series(part, root) for group in groups.values() for part in _parts(group)]
    notes = []
    if localizers:
        notes.append(f"{localizers} localizer images were left out")
    if others:
        notes.append(f"{others} DICOM objects that are not images were left out")
    return sorted([*found, *faulty], key=lambda s: (s.source, s.number or 0, s.files)), notes


def _key(path: Path, header: Any) -> tuple:
    series = header.get("SeriesInstanceUID") or (path.parent, series_number(header), header.get("Modality"))
    return series, (sop_instance(header) or path) if _frames(header) > 1 else ""


def _parts(group: list[tuple[Path, Any]]) -> list[list[tuple[Path, Any]]]:
    """Single slices together; each multi-frame file for itself, but copies of one once."""
    if _frames(group[0][1]) == 1:
        return [group]
    kept: list[list[tuple[Path, Any]]] = []
    for path, header in group:
        if not any(filecmp.cmp(path, other, shallow=False) for ((other, _),) in kept):
            kept.append([(path, header)])
    return kept


def _frames(header: Any) -> int:
    return int(header.get("NumberOfFrames") or 1)


def series_number(header: Any) -> int | None:
    """Series number of a data set, if it has a readable one."""
    try:
        return int(header.get("SeriesNumber"))
    except (TypeError, ValueError):
        return None


def _series(group: list[tuple[Path, Any]], root: Path) -> Series:
    files = tuple(path for path, _ in group)
    folder = files[0].parent
    if _frames(group[0][1]) > 1:
        name, source = files[0].stem, files[0]
    else:
        name, source = folder.resolve().name, folder
    shown = source.relative_to(root).as_posix()
    return Series(name or "series", files, folder.resolve().name if shown == "." else shown, series_number(group[0][1]))
