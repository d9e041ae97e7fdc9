"""DICOM series as a scanner would write them, made by SimpleITK."""

import locale

import pydicom
import SimpleITK as sitk

from tests.scripts.predict.images import as_itk

CLASSES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}


def write_series(folder, image, modality="CT", number=3, order=7, count=31, **tags):
    """Write a NIfTI image as single slices, in files whose names are not in the order of the slices.

    Returns the SimpleITK volume that they were made of.
    """
    folder.mkdir(parents=True, exist_ok=True)
    volume = as_itk(image)
    d = volume.GetDirection()
    uid = pydicom.uid.generate_uid
    common = {
        "0008|0016": CLASSES[modality],
        "0008|0060": modality,
        "0008|0070": "SimpleITK",
        "0010|0010": "Doe^Jane",
        "0010|0020": "patient",
        "0020|000d": uid(),
        "0020|000e": uid(),
        "0020|0011": str(number),
        "0020|0052": uid(),
        "0018|0050": str(volume.GetSpacing()[2]),
        "0020|0037": "\\".join(f"{x:.9f}" for x in (d[0], d[3], d[6], d[1], d[4], d[7])),
        "0028|1052": "-1024",
        "0028|1053": "1",
        **tags,
    }
    encoding = locale.setlocale(locale.LC_CTYPE)  # the writer leaves "C", in which the next test reads files as ASCII
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for z in range(volume.GetDepth()):
        piece = sitk.Cast(volume[:, :, z], sitk.sitkInt16)
        place = volume.TransformIndexToPhysicalPoint((0, 0, z))
        own = {"0008|0018": uid(), "0020|0013": str(z + 1), "0020|0032": "\\".join(f"{x:.6f}" for x in place)}
        for key, value in {**common, **own}.items():
            piece.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"IM{z * order % count:04d}.dcm"))
        writer.Execute(piece)
    locale.setlocale(locale.LC_CTYPE, encoding)
    return volume


def read_series(folder):
    """The series as SimpleITK reads it: the oracle of place, order and units."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def values(volume):
    """Voxels of a SimpleITK volume in our order: columns × rows × slices."""
    return sitk.GetArrayFromImage(volume).T


def change(path, function):
    """Change a file in place."""
    dataset = pydicom.dcmread(path)
    function(dataset)
    dataset.save_as(path)


def slices(folder):
    """The files in the order of their instance numbers."""
    return sorted(folder.iterdir(), key=lambda path: pydicom.dcmread(path).InstanceNumber)
