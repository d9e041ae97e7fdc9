"""The cases of a user's data set: nnU-Net's raw layout, a pair of folders, or a dataset_dir that is ready."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.files import case_name, read_json
from components.images.endings import (
    LOSSY,
    PICTURES,
    VOLUMES,
    ending_of,
    is_data_file,
    is_image,
    is_volume,
    left_out,
    listed,
)
from components.images.stacks import is_stack, spacing_file

from ..data.dataset import PARTS, files_of
from ..data.labelling import Labelling, recorded
from ..data.reading import naming
from ..data.sources.nnunet import CHANNEL, labels_of
from ..errors import UserError

RAW_LAYOUT = "nnU-Net's raw layout"
IMAGES, LABELS = ("images", "imgs", "image"), ("labels", "masks", "label")
WANTED = (
    "nnU-Net's raw layout (dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz), or a pair of folders "
    "(images/CASE.png and labels/CASE.png, equal names), or a dataset_dir (datalist.json)"
)


@dataclass(frozen=True)
class Source:
    """A case as it lies on the disk.

    Args:
        name: name of the case, unique.
        part: "train" where the list that it goes to is still to be chosen, or one of :data:`PARTS`.
        images: its files, one for each channel; or one that holds all of them.
        label: the label map.
        instances: numbers of the objects, in a dataset_dir that has them.
        fold: number of the fold whose network does not see it in training; None where there are no folds.
    """

    name: str
    part: str
    images: tuple[Path, ...]
    label: Path
    instances: Path | None = None
    fold: int | None = None


@dataclass(frozen=True)
class Sources:
    """What was found in a folder.

    Args:
        root: the folder.
        layout: what its layout is called.
        cases: in the order of their names.
        names: names of the classes by number, 0 included; None where they are to be numbered from the values found.
        channels: names of the channels; empty where the data set does not tell.
        ready: whether it is a dataset_dir already, whose lists are kept.
        notes: what the user should know about the files.
        record: content of a dataset_dir's dataset.json.
        labelling: regions and ignored voxels.
    """

    root: Path
    layout: str
    cases: tuple[Source, ...]
    names: Mapping[int, str] | None
    channels: tuple[str, ...] = ()
    ready: bool = False
    notes: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    labelling: Labelling = field(default_factory=Labelling)

    @property
    def spatial_dims(self) -> int:
        """3 for volumes, 2 for pictures."""
        return 3 if _is_volume(self.cases[0].images[0]) else 2


def find_sources(root: Path) -> Sources:
    """Find the cases of a data set.

    Args:
        root: the folder, of one of the layouts in :data:`WANTED`.

    Raises:
        UserError: if it is none of them, has no case, mixes pictures and volumes or numbers of channels, or an image
            has no label.
    """
    if not root.is_dir():
        raise UserError(f"--data {root} is not a folder: give the folder of the data set")
    if (root / "datalist.json").is_file():
        found = _ready(root)
    elif is_raw(root):
        found = _nnunet(root)
    else:
        images, labels = _folder(root, IMAGES), _folder(root, LABELS)
        if images is None or labels is None:
            raise UserError(f"{root} has no data set in a known layout: wanted is {WANTED}")
        found = _pair(root, images, labels)
    if not found.cases:
        raise UserError(f"{root} has no images in a known format: {', '.join((*VOLUMES, *PICTURES))}")
    _check_kinds(found)
    return found


def is_raw(root: Path) -> bool:
    """Whether a folder has nnU-Net's raw layout: its folders, or a dataset.json that names the files of each case."""
    if (root / "imagesTr").is_dir() and (root / "labelsTr").is_dir():
        return True
    path = root / "dataset.json"
    with naming(path):
        content = read_json(path) if path.is_file() else {}
    return isinstance(content, dict) and isinstance(content.get("dataset"), dict)


def _ready(root: Path) -> Sources:
    lists = read_json(root / "datalist.json")
    record = read_json(root / "dataset.json") if (root / "dataset.json").is_file() else {}
    if not isinstance(lists, dict) or not all(isinstance(lists.get(part), list) for part in PARTS):
        raise UserError(f"{root / 'datalist.json'} must hold lists of items by name: {', '.join(PARTS)}")
    cases = []
    for part in PARTS:
        for place, item in enumerate(lists[part]):
            if not isinstance(item, dict) or not {"image", "label"} <= item.keys():
                raise UserError(f"{root / 'datalist.json'}: item {place} of {part} has no image and label")
            paths = tuple(root / path for path in files_of(item["image"]))
            instances = root / item["instances"] if "instances" in item else None
            cases.append(
                Source(f"{part}/{case_name(paths[0])}", part, paths, root / item["label"], instances, item.get("fold"))
            )
    labels = record.get("labels")
    names = {int(number): name for number, name in labels.items()} if isinstance(labels, dict) else None
    with naming(root / "dataset.json"):
        labelling = recorded(record)
    channels = tuple(record.get("channels", ()))
    return Sources(root, "a dataset_dir", tuple(cases), names, channels, True, (), record, labelling)


def _nnunet(root: Path) -> Sources:
    path = root / "dataset.json"
    names, labelling = labels_of(path)
    with naming(path):
        content = read_json(path)
        channels = content.get("channel_names", content.get("modality", {}))
        if not isinstance(channels, dict):
            raise ValueError(f'"channel_names" is {channels!r}, but names by number are needed')
        if strange := [key for key in channels if not str(key).isdigit()]:
            raise ValueError(f"the channel {strange[0]!r} has no number: name the channels by 0, 1 and so on")
    ending = _file_ending(root, content)
    if isinstance(content.get("dataset"), dict):
        cases, notes = _named(path, content["dataset"]), []
    else:
        labels = _by_case(root / "labelsTr", ending=ending)
        cases = _paired(_by_case(root / "imagesTr", labels, ending), labels, "train", root / "labelsTr")
        notes = _left_out(root, "imagesTr", "labelsTr", ending=ending)
    if (root / "imagesTs").is_dir():
        labels = _by_case(root / "labelsTs", ending=ending) if (root / "labelsTs").is_dir() else {}
        images = _by_case(root / "imagesTs", labels, ending)
        if labels:
            cases += _paired(images, labels, "test", root / "labelsTs")
        elif images:
            notes.append("imagesTs has no labels (labelsTs): its images are not used")
    reader = content.get("overwrite_image_reader_writer")
    if reader not in (None, "None"):
        notes.append(f"dataset.json asks for {reader} (overwrite_image_reader_writer): files are read by their endings")
    wanted = len(channels)
    for case in cases:
        if wanted and len(case.images) not in (wanted, 1):
            raise UserError(
                f"{case.images[0]}: {case.name} has {len(case.images)} files, but dataset.json names {wanted} channels"
            )
    ordered = tuple(str(channels[key]) for key in sorted(channels, key=int))
    return Sources(root, RAW_LAYOUT, tuple(cases), names, ordered, notes=tuple(notes), labelling=labelling)


def _file_ending(root: Path, content: Mapping[str, Any]) -> str:
    """The ending of images and labels that dataset.json states; empty where no file has it."""
    ending = str(content.get("file_ending", "")).lower()
    return ending if any(path.name.lower().endswith(ending) for path in listed(root / "imagesTr")) else ""


def _named(path: Path, entries: Mapping[str, Any]) -> list[Source]:
    """Cases whose files dataset.json names, in any place; relative paths begin at its folder."""
    cases = []
    for name, entry in sorted(entries.items()):
        files = [*entry.get("images", ()), entry.get("label")] if isinstance(entry, dict) else []
        if len(files) < 2 or not all(isinstance(file, str) for file in files):
            raise UserError(f"{path}: {name!r} of dataset needs a list images and a label")
        *images, label = (path.parent / os.path.expandvars(file) for file in files)
        cases.append(Source(name, "train", tuple(images), label))
    return cases


def _pair(root: Path, images: Path, labels: Path) -> Sources:
    path = root / "dataset.json"
    names, labelling = labels_of(path) if path.is_file() else (None, Labelling())
    cases = _paired(_by_case(images), _by_case(labels), "train", labels)
    notes = _left_out(root, images.name, labels.name)
    return Sources(root, "a pair of folders", tuple(cases), names, notes=tuple(notes), labelling=labelling)


def _folder(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _by_case(folder: Path, labels: Collection[str] | None = None, ending: str = "") -> dict[str, list[Path]]:
    """Files of each case in a folder: one, or one for each channel in their order.

    Args:
        folder: the folder.
        labels: names of the label maps, where images may have a file for each channel, CASE_0000 and so on. An image
            whose full name is that of a label map is one channel: the number belongs to its name, as in AMOS.
        ending: files with other endings are left out.
    """
    found: dict[str, dict[int, Path]] = {}
    for path in (path for path in listed(folder) if is_image(path) and path.name.lower().endswith(ending)):
        name = path.relative_to(folder).with_name(case_name(path)).as_posix().replace("/", "_")
        matched = None if labels is None or name in labels else CHANNEL.search(name)
        number = int(matched[1]) if matched else 0
        name = name[: matched.start()] if matched else name
        files = found.setdefault(name, {})
        if number in files:
            raise UserError(f"{files[number]} and {path} are the same case: keep one of them")
        files[number] = path
    for name, files in found.items():
        if missing := set(range(len(files))) - set(files):
            raise UserError(f"{next(iter(files.values()))}: {name} has no file of the channel _{min(missing):04d}")
    return {name: [files[number] for number in sorted(files)] for name, files in sorted(found.items())}


def _left_out(root: Path, *folders: str, ending: str = "") -> list[str]:
    """Notes about the files of these folders that are not images, or have another ending."""
    files = [path for folder in folders for path in listed(root / folder)]
    beside = {spacing_file(path) for path in files}
    strange = [
        path
        for path in files
        if not (is_image(path) and path.name.lower().endswith(ending)) and not is_data_file(path) and path not in beside
    ]
    return [note] if (note := left_out(strange, root)) else []


def _paired(
    images: Mapping[str, list[Path]], labels: Mapping[str, list[Path]], part: str, folder: Path
) -> list[Source]:
    for name, files in images.items():
        if name not in labels:
            raise UserError(f"{files[0]} has no label: put {name} into {folder}, or remove the image")
    for name, files in labels.items():
        if name not in images:
            raise UserError(f"{files[0]} has no image: give the image of {name} the same name, or remove the label")
    return [Source(name, part, tuple(files), labels[name][0]) for name, files in images.items()]


def _is_volume(path: Path) -> bool:
    return is_volume(path) or is_stack(path)


def _check_kinds(found: Sources) -> None:
    first = found.cases[0]
    seen: dict[str, Path] = {}
    for case in found.cases:
        if (other := seen.setdefault(case.name, case.images[0])) != case.images[0]:
            raise UserError(f"{case.images[0]} and {other} have the same name {case.name}: name every case differently")
        if len(case.images) != len(first.images):
            raise UserError(
                f"{case.images[0]}: {case.name} has another number of channels than {first.name} "
                f"({len(case.images)}, not {len(first.images)}): all cases need the same"
            )
        for path in (*case.images, case.label):
            if _is_volume(path) != (found.spatial_dims == 3):
                kinds = ("volume", "picture") if found.spatial_dims == 2 else ("picture", "volume")
                raise UserError(f"{path} is a {kinds[0]}, but {first.images[0]} is a {kinds[1]}: do not mix them")
        if ending_of(case.label) in LOSSY:
            raise UserError(f"{case.label}: JPEG changes the numbers of a label map: save it as PNG")
    if found.spatial_dims == 2 and len(first.images) > 1:
        raise UserError(f"{first.images[1]}: each picture must be one file: combine the channels into a colour picture")
