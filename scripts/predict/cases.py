"""Which images a file or folder holds, and how the cases are called."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from components.datalist import inference_items
from components.files import case_name
from components.images.endings import PICTURES, VOLUMES, is_data_file, is_image, kind_of, left_out, listed
from components.images.stacks import is_stack, spacing_file

from ..data.dataset import files_of
from ..errors import UserError
from .dicom import find_series, is_dicom, is_directory


@dataclass(frozen=True)
class Case:
    """An image to segment.

    Args:
        name: name of the case, the beginning of the names of its products.
        kind: a key of :data:`components.images.endings.ENDINGS`, or "stack" for a TIFF that is a volume.
        files: the file, one for each channel, or all files of a DICOM series.
        source: where it comes from, relative to the input.
        number: series number of a DICOM series.
        fault: why it cannot be segmented, where that is known already.
        volume: which volume of a DICOM series with several is taken, from 1 on.
    """

    name: str
    kind: str
    files: tuple[Path, ...]
    source: str
    number: int | None = None
    fault: str = ""
    volume: int | None = None


def find_cases(source: Path, ignore: Path | None = None) -> tuple[list[Case], list[str]]:
    """Find the images of a folder and its subfolders, or of a file.

    A folder with ``datalist.json`` is a prepared data set: its test cases are taken. Hidden files are left alone.

    Args:
        source: a folder, an image file, a folder of a DICOM series, or a file of it.
        ignore: a folder inside ``source`` to leave alone: the output.

    Returns:
        The cases in the order of their names, which are all different, and notes on what was left out.

    Raises:
        UserError: if there is nothing.
    """
    if not source.exists():
        raise UserError(f"--input {source} does not exist: give an image, a DICOM series or a folder of them")
    root = source if source.is_dir() else source.parent
    channels: dict[Path, tuple[Path, ...]] = {}
    if source.is_dir() and (source / "datalist.json").is_file():
        for item in inference_items(str(source)):
            paths = tuple(map(Path, files_of(item["image"])))
            channels[paths[0]] = paths
        files = list(channels)
    elif source.is_dir():
        files = [path for path in listed(source) if ignore is None or ignore not in path.resolve().parents]
    elif is_directory(source):
        files = listed(root)
    else:
        files = [source]
    cases, dicom, others = [], [], []
    spacings = {spacing_file(path) for path in files}
    for path in files:
        if is_image(path) or (path == source and kind_of(path) == "nibabel"):
            paths = channels.get(path, (path,))
            kind = "stack" if is_stack(path) else kind_of(path)
            cases.append(Case(case_name(path), kind, paths, _relative(path, root)))
        elif is_dicom(path):
            dicom.append(path)
        elif not is_data_file(path) and path not in spacings:
            others.append(path)
    notes: list[str] = []
    if dicom:
        series, notes = find_series(dicom, root)
        cases += [Case(s.name, "dicom", s.files, s.source, s.number, s.fault) for s in series]
    notes += [note] if (note := left_out(others, root)) else []
    if not cases:
        endings = ", ".join((*VOLUMES, *PICTURES))
        raise UserError(f"--input {source} has no images ({endings}, DICOM){'; '.join(['', *notes])}")
    return sorted(distinct(cases), key=lambda case: case.name), notes


def distinct(cases: Sequence[Case]) -> list[Case]:
    """Give cases of the same name longer ones: their folders, the series number, and at last the ending.

    Names that differ by upper case only count as the same, since some file systems do not tell them apart.

    Example:
        >>> paths = [Path("p/a.nii.gz"), Path("p/a.nrrd"), Path("a.mha")]
        >>> [case.name for case in distinct([Case("a", kind_of(p), (p,), str(p)) for p in paths])]
        ['p_a_nii_gz', 'p_a_nrrd', 'a']
    """
    cases = list(cases)
    for longer in (_with_folders, _with_number, _with_ending, _counted):
        taken = Counter(case.name.lower() for case in cases)
        if max(taken.values(), default=0) < 2:
            break
        cases = longer(cases, {name for name, times in taken.items() if times > 1})
    return cases


def of_volume(case: Case, volume: int) -> Case:
    """A case of one volume of a DICOM series that holds several; any other case as it is."""
    return replace(case, name=f"{case.name}_volume{volume}", volume=volume) if case.kind == "dicom" else case


def _with_folders(cases: list[Case], taken: set[str]) -> list[Case]:
    def name(case: Case) -> str:
        folders = Path(case.source).parent.parts
        return "_".join([*folders, case.name])

    return [replace(case, name=name(case)) if case.name.lower() in taken else case for case in cases]


def _with_number(cases: list[Case], taken: set[str]) -> list[Case]:
    return [
        replace(case, name=f"{case.name}_{case.number}")
        if case.name.lower() in taken and case.number is not None
        else case
        for case in cases
    ]


def _with_ending(cases: list[Case], taken: set[str]) -> list[Case]:
    def name(case: Case) -> str:
        return case.name + re.sub(r"\W", "_", case.files[0].name[len(case_name(case.files[0])) :])

    return [
        replace(case, name=name(case)) if case.name.lower() in taken and case.kind != "dicom" else case
        for case in cases
    ]


def _counted(cases: list[Case], taken: set[str]) -> list[Case]:
    used = {case.name.lower() for case in cases}
    counted = []
    for case in cases:
        if case.name.lower() in taken:
            name = next(name for n in itertools.count(1) if (name := f"{case.name}_{n}").lower() not in used)
            used.add(name.lower())
            case = replace(case, name=name)
        counted.append(case)
    return counted


def _relative(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
