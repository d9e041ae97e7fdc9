"""DICOM files, also those that are not quite as the standard has them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.images.endings import kind_of

from ...errors import UserError, one_line

if TYPE_CHECKING:
    from pydicom import Dataset

DIRECTORY = "1.2.840.10008.1.3.10"
"""SOP class of a DICOMDIR."""
TEXT = {b"UI", b"CS", b"DA", b"TM", b"LO", b"SH", b"UL", b"OB", b"PN", b"ST", b"LT", b"DT", b"IS", b"DS"}
"""Value representations that a first data element has."""


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by the end of its name or by its content, with a preamble or without."""
    return kind_of(path) == "dicom" or begins_as_dicom(path)


def is_directory(path: Path) -> bool:
    """Whether a file is a DICOMDIR, which names the files of the folder that it is in."""
    return path.name.upper() == "DICOMDIR" and begins_as_dicom(path)


def begins_as_dicom(path: Path) -> bool:
    """Whether the content of a file begins as DICOM: with a preamble, or with a data element of group 2 or 8."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return False
    return head[128:] == b"DICM" or _is_element(head[:8])


def library(name: str) -> Any:
    """Import pydicom or highdicom.

    Raises:
        UserError: that names the extra to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"DICOM needs {name}: pip install 'scanseg[dicom]'") from error


def read_file(path: Path, **settings: Any) -> Dataset:
    """Read a file with or without preamble and file meta information.

    Args:
        path: the file.
        settings: further arguments of ``pydicom.dcmread``.

    Raises:
        ValueError: if it is not DICOM.
        OSError: if it cannot be read.
    """
    pydicom = library("pydicom")
    with path.open("rb"):
        pass  # what cannot be opened has an error of its own
    if not begins_as_dicom(path):
        raise ValueError("it is not a readable DICOM file")
    try:
        dataset = pydicom.dcmread(path, force=True, **settings)
    except OSError:
        raise
    except Exception as error:  # whatever the bytes make of the reader
        raise ValueError(f"it is not a readable DICOM file ({one_line(error)})") from error
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        syntax = pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax if little else pydicom.uid.ExplicitVRBigEndian
    return dataset


def sop_class(dataset: Dataset) -> str:
    """UID of the kind of object; where the data set has none, that of the file meta information."""
    return str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")


def sop_instance(dataset: Dataset) -> str:
    """UID of the object; where the data set has none, that of the file meta information."""
    return str(dataset.get("SOPInstanceUID") or dataset.file_meta.get("MediaStorageSOPInstanceUID") or "")


def _is_element(head: bytes) -> bool:
    """Whether these 8 bytes are the tag and length of a first data element, in any of the uncompressed encodings."""
    for order in ("little", "big"):
        group, element = (int.from_bytes(head[n : n + 2], order) for n in (0, 2))
        if group not in (2, 8) or element > 0x0070:
            continue
        if head[4:6] in TEXT:
            return True
        length = int.from_bytes(head[4:8], order)
        if length % 2 == 0 and length <= 256:
            return True
    return False
