"""The numbers in the pixels of a DICOM file, as the standard defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .files import library, sop_class

if TYPE_CHECKING:
    from pydicom import Dataset

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
DECODERS = {
    "JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "High-Throughput": "pylibjpeg pylibjpeg-openjpeg",
    "JPEG-LS": "pyjpegls",
    "JPEG": "pylibjpeg pylibjpeg-libjpeg",
}
"""What decodes a transfer syntax, by the beginning of its name."""


def stored_values(dataset: Dataset) -> np.ndarray:
    """Decode the pixels of a file.

    Bits that do not belong to a value are left out, and a modality lookup table is applied; rescale slope and
    intercept are not. Windows, presentation tables and padding values are left alone. MONOCHROME1, where low values
    are shown white, is turned round for all but CT, whose values have a unit whatever is shown white.

    Args:
        dataset: a file with its pixels.

    Returns:
        Frames × rows × columns, float32.

    Raises:
        ValueError: if they are coloured, tiled, missing, damaged or cannot be decoded.
    """
    pydicom = library("pydicom")
    kind = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or not kind.startswith("MONOCHROME"):
        raise ValueError(f"the series is in colour ({kind}), but a volume with one channel is needed")
    if "MOSAIC" in (dataset.get("ImageType") or ()):
        raise ValueError(
            "it is a Siemens mosaic, one picture with all slices of a volume as tiles: convert it with dcm2niix first"
        )
    if not any(name in dataset for name in PIXELS):
        raise ValueError("it has no PixelData")
    try:
        array = np.asarray(pydicom.pixels.pixel_array(dataset))
    except Exception as error:  # decoders raise errors of any kind
        array = _by_simpleitk(dataset) if _is_undecodable(error) else None
        if array is None:
            raise ValueError(_reason(dataset, error)) from error
    array = _own_bits(array, dataset)
    if "ModalityLUTSequence" in dataset:
        array = pydicom.pixels.apply_modality_lut(array, dataset)
    array = array.reshape(-1, *array.shape[-2:])
    return array.astype(np.float32)


def _own_bits(array: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Values of the stored bits alone, with their sign; MONOCHROME1 turned round as GDCM and SimpleITK do."""
    if array.dtype.kind not in "iu":
        return array
    allocated = int(dataset.get("BitsAllocated") or 8 * array.itemsize)
    stored = int(dataset.get("BitsStored") or allocated)
    high = int(dataset.get("HighBit") or stored - 1)
    native = not dataset.file_meta.TransferSyntaxUID.is_encapsulated
    if native and stored < allocated == 8 * array.itemsize and stored - 1 <= high < allocated:
        array = (array << (allocated - 1 - high)).astype(array.dtype) >> (allocated - stored)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1" and not _is_ct(dataset):
        array = -1 - array if array.dtype.kind == "i" else array.dtype.type(2**stored - 1) - array
    return array


def _is_ct(dataset: Dataset) -> bool:
    return dataset.get("Modality") == "CT" or "CT Image" in library("pydicom").uid.UID(sop_class(dataset)).name


def _by_simpleitk(dataset: Dataset) -> np.ndarray | None:
    """Stored values of a single slice as SimpleITK decodes them, without its rescaling; None if it cannot."""
    if "SharedFunctionalGroupsSequence" in dataset or dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        return None  # of these it changes the values in other ways
    try:
        import SimpleITK as sitk

        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(dataset.filename))).astype(np.float64)
    except (ImportError, RuntimeError):
        return None
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    stored = np.rint((values - intercept) / slope).astype(np.int32)
    return stored.reshape(int(dataset.Rows), int(dataset.Columns))


def _is_undecodable(error: Exception) -> bool:
    """Whether pydicom had no decoder, in place of damaged pixels."""
    told = str(error).lower()
    return isinstance(error, NotImplementedError) or "missing dependencies" in told or "no available" in told


def _reason(dataset: Dataset, error: Exception) -> str:
    syntax = dataset.file_meta.TransferSyntaxUID
    told = " ".join(str(error).split())
    if _is_undecodable(error):
        needed = next((names for begin, names in DECODERS.items() if syntax.name.startswith(begin)), "")
        needed = f"pip install SimpleITK, or {needed}, or " if needed else ""
        return (
            f"its pixels are compressed ({syntax.name}) and cannot be decoded here: {needed}decompress the files first"
        )
    if syntax.is_encapsulated:
        return f"its pixels ({syntax.name}) are damaged: copy it again"
    return f"its pixels cannot be read: {told}"
