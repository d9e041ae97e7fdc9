"""Which files are images: one table of the endings of their names, in any case."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

ENDINGS: dict[str, tuple[str, ...]] = {
    "nifti": (".nii", ".nii.gz"),
    "nibabel": (".hdr", ".img", ".mgz", ".mgh"),
    "itk": (".nrrd", ".nhdr", ".mha", ".mhd"),
    "picture": (
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".pgm", ".ppm",
    ),
    "dicom": (".dcm", ".dicom", ".ima"),
}  # fmt: skip
"""Endings by the kind of file. A pair ``.hdr`` and ``.img`` is NIfTI or Analyze 7.5; DICOM files often have none."""
NIFTI, PICTURES = ENDINGS["nifti"], ENDINGS["picture"]
VOLUMES = (*ENDINGS["nifti"], *ENDINGS["nibabel"], *ENDINGS["itk"])
LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")
"""Endings of pictures whose numbers change when they are saved, so that they cannot be label maps."""
DATA_OF = {".img": (".hdr",), ".raw": (".mhd", ".nhdr"), ".zraw": (".mhd",), ".gz": (".nhdr",)}
"""Endings of files that hold the voxels of a header beside them, and the endings of such headers."""
SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")
"""Files and folders that operating systems put beside images."""

_KINDS = {ending: kind for kind, endings in ENDINGS.items() for ending in endings}


def ending_of(path: str | os.PathLike[str]) -> str:
    """Ending of an image file in lower case, empty if it is none of the table.

    Example:
        >>> ending_of("a.b.NII.gz"), ending_of("a.txt"), ending_of(".png")
        ('.nii.gz', '', '')
    """
    name = PurePath(path).name.lower()
    found = [ending for ending in _KINDS if name.endswith(ending) and len(name) > len(ending)]
    return max(found, key=len, default="")


def kind_of(path: str | os.PathLike[str]) -> str:
    """Kind of an image file by its ending, a key of :data:`ENDINGS`; empty if it is none.

    Example:
        >>> kind_of("scan.MHD"), kind_of("scan.mgz"), kind_of("notes.txt")
        ('itk', 'nibabel', '')
    """
    return _KINDS.get(ending_of(path), "")


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a picture by its ending."""
    return kind_of(path) == "picture"


def is_volume(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a volume by its ending, DICOM aside."""
    return ending_of(path) in VOLUMES


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an image of its own: a picture or a volume, not the data file of a header beside it."""
    return (is_picture(path) or is_volume(path)) and not is_data_file(Path(path))


def is_data_file(path: Path) -> bool:
    """Whether a file only holds the voxels of a header that lies beside it, as ``.img`` does for ``.hdr``."""
    headers = DATA_OF.get(path.suffix.lower(), ())
    if not headers:
        return False
    stem = path.name[: -len(path.suffix)]
    stems = (stem, stem[:-4]) if stem.lower().endswith(".raw") else (stem,)
    return any(
        path.with_name(name + ending).is_file()
        for name in stems
        if name
        for header in headers
        for ending in (header, header.upper())
    )


def listed(folder: Path) -> list[Path]:
    """Files of a folder and its subfolders, sorted; hidden files and those of operating systems are left out.

    A symbolic link to nowhere is listed, so that it can be reported as missing.
    """
    return [path for path in sorted(folder.rglob("*")) if _is_file(path) and not _hidden(path.relative_to(folder))]


def left_out(files: Sequence[Path], folder: Path) -> str:
    """A note about files that are not images: how many of which kind, and an example. Empty if there are none.

    Example:
        >>> left_out([Path("a/x.txt"), Path("a/IM1"), Path("a/IM2")], Path("a"))
        '3 other files were left out: 2 without an ending, 1 .txt, such as IM1'
    """
    if not files:
        return ""
    kinds = Counter(path.suffix.lower() or "without an ending" for path in files)
    shown = [f"{count} {kind}" for kind, count in kinds.most_common(5)]
    if (rest := len(files) - sum(count for _, count in kinds.most_common(5))) > 0:
        shown.append(f"{rest} of other kinds")
    first = min(path for path in files if (path.suffix.lower() or "without an ending") == kinds.most_common(1)[0][0])
    name = first.relative_to(folder) if first.is_relative_to(folder) else first
    what = "1 other file was" if len(files) == 1 else f"{len(files)} other files were"
    return f"{what} left out: {', '.join(shown)}, such as {name.as_posix()}"


def _is_file(path: Path) -> bool:
    return path.is_file() or (path.is_symlink() and not path.exists())


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part.lower() in SYSTEM for part in path.parts)
