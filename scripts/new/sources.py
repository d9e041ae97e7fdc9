"""The cases of a user's data set: nnU-Net's raw layout, a pair of folders, or a dataset_dir that is ready."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.files import case_name

from ..data.dataset import PARTS, read_json
from ..data.layouts import Files
from ..data.reading import naming
from ..data.sources.nnunet import label_names
from ..errors import UserError
from .files import PICTURES, VOLUMES, suffix_of

IMAGES, LABELS = ("images", "imgs", "image"), ("labels", "masks", "label")
WANTED = (
    "nnU-Net's raw layout (dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz), or a pair of folders "
    "(images/CASE.png and labels/CASE.png, equal names), or a dataset_dir (datalist.json)"
)
CHANNEL = re.compile(r"_(\d{4})$")


@dataclass(frozen=True)
class Source:
    """A case as it lies on the disk.

    Args:
        name: name of the case, unique.
        part: "train" where the list that it goes to is still to be chosen, or one of :data:`PARTS`.
        images: its files, one for each channel; or one that holds all of them.
        label: the label map.
        instances: numbers of the objects, in a dataset_dir that has them.
    """

    name: str
    part: str
    images: tuple[Path, ...]
    label: Path
    instances: Path | None = None


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
    """

    root: Path
    layout: str
    cases: tuple[Source, ...]
    names: Mapping[int, str] | None
    channels: tuple[str, ...] = ()
    ready: bool = False
    notes: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spatial_dims(self) -> int:
        """3 for volumes, 2 for pictures."""
        return 3 if suffix_of(self.cases[0].images[0]) in VOLUMES else 2


def find_sources(root: Path) -> Sources:
    """Find the cases of a data set.

    Args:
        root: the folder, of one of the layouts in :data:`WANTED`.

    Raises:
        UserError: if it is none of them, has no case, mixes pictures and volumes or numbers of channels, or an image
            has no label.
    """
    if not root.is_dir():
        raise UserError(f"--data {root} is no folder: give the folder of the data set")
    if (root / "datalist.json").is_file():
        found = _ready(root)
    elif (root / "imagesTr").is_dir() and (root / "labelsTr").is_dir():
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


def _ready(root: Path) -> Sources:
    lists = read_json(root / "datalist.json")
    record = read_json(root / "dataset.json") if (root / "dataset.json").is_file() else {}
    if not isinstance(lists, dict) or not all(isinstance(lists.get(part), list) for part in PARTS):
        raise UserError(f"{root / 'datalist.json'} has to hold lists of items by name: {', '.join(PARTS)}")
    cases = []
    for part in PARTS:
        for place, item in enumerate(lists[part]):
            if not isinstance(item, dict) or not {"image", "label"} <= item.keys():
                raise UserError(f"{root / 'datalist.json'}: item {place} of {part} has no image and label")
            images = [item["image"]] if isinstance(item["image"], str) else item["image"]
            paths = tuple(root / path for path in images)
            instances = root / item["instances"] if "instances" in item else None
            cases.append(Source(f"{part}/{case_name(paths[0])}", part, paths, root / item["label"], instances))
    labels = record.get("labels")
    names = {int(number): name for number, name in labels.items()} if isinstance(labels, dict) else None
    return Sources(root, "a dataset_dir", tuple(cases), names, tuple(record.get("channels", ())), True, (), record)


def _nnunet(root: Path) -> Sources:
    path = root / "dataset.json"
    names = label_names(path)
    with naming(path):
        content = read_json(path)
        channels = content.get("channel_names", content.get("modality", {}))
        if not isinstance(channels, dict):
            raise ValueError(f'"channel_names" is {channels!r}, but names by number are needed')
    if ignored := [name for name in names.values() if name.lower() == "ignore"]:
        raise UserError(
            f"{path}: the label {ignored[0]!r} marks voxels to be left out of the loss, which the bundles cannot do: "
            f"label these voxels, or leave the cases out"
        )
    labels = _by_case(root / "labelsTr", root, channelled=False)
    cases = _paired(_by_case(root / "imagesTr", root), labels, "train", root / "labelsTr")
    notes = []
    if (root / "imagesTs").is_dir():
        images = _by_case(root / "imagesTs", root)
        labels = _by_case(root / "labelsTs", root, channelled=False) if (root / "labelsTs").is_dir() else {}
        if labels:
            cases += _paired(images, labels, "test", root / "labelsTs")
        elif images:
            notes.append("imagesTs has no labels (labelsTs): its images are not used")
    wanted = len(channels)
    for case in cases:
        if wanted and len(case.images) not in (wanted, 1):
            raise UserError(
                f"{case.images[0]}: {case.name} has {len(case.images)} files, but dataset.json names {wanted} channels"
            )
    ordered = tuple(str(channels[key]) for key in sorted(channels, key=str))
    return Sources(root, "nnU-Net's raw layout", tuple(cases), names, ordered, notes=tuple(notes))


def _pair(root: Path, images: Path, labels: Path) -> Sources:
    names = label_names(root / "dataset.json") if (root / "dataset.json").is_file() else None
    cases = _paired(_by_case(images, root, channelled=False), _by_case(labels, root, channelled=False), "train", labels)
    return Sources(root, "a pair of folders", tuple(cases), names)


def _folder(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _by_case(folder: Path, root: Path, channelled: bool = True) -> dict[str, list[Path]]:
    """Files of each case in a folder: one, or one for each channel in their order."""
    found: dict[str, dict[int, Path]] = {}
    for relative in Files(folder).paths:
        path = folder / relative
        if suffix_of(path) is None:
            continue
        name = case_name(path)
        matched = CHANNEL.search(name) if channelled else None
        number = int(matched[1]) if matched else 0
        name = name[: matched.start()] if matched else name
        name = Path(relative).with_name(name).as_posix().replace("/", "_")
        files = found.setdefault(name, {})
        if number in files:
            raise UserError(f"{files[number]} and {path} are the same case: keep one of them")
        files[number] = path
    for name, files in found.items():
        if missing := set(range(len(files))) - set(files):
            raise UserError(f"{next(iter(files.values()))}: {name} has no file of the channel _{min(missing):04d}")
    return {name: [files[number] for number in sorted(files)] for name, files in sorted(found.items())}


def _paired(
    images: Mapping[str, list[Path]], labels: Mapping[str, list[Path]], part: str, folder: Path
) -> list[Source]:
    for name, files in images.items():
        if name not in labels:
            raise UserError(f"{files[0]} has no label: put {name} into {folder}, or take the image out")
    for name, files in labels.items():
        if name not in images:
            raise UserError(f"{files[0]} has no image: give the image of {name} the same name, or take the label out")
    return [Source(name, part, tuple(files), labels[name][0]) for name, files in images.items()]


def _check_kinds(found: Sources) -> None:
    first = found.cases[0]
    seen: dict[str, Path] = {}
    for case in found.cases:
        if (other := seen.setdefault(case.name, case.images[0])) != case.images[0]:
            raise UserError(f"{case.images[0]} and {other} have the same name {case.name}: name every case differently")
        if len(case.images) != len(first.images):
            raise UserError(
                f"{case.images[0]}: {case.name} has {len(case.images)} channels, but {first.name} has "
                f"{len(first.images)}: all cases need the same"
            )
        for path in (*case.images, case.label):
            if (suffix_of(path) in VOLUMES) != (found.spatial_dims == 3):
                kinds = ("volume", "picture") if found.spatial_dims == 2 else ("picture", "volume")
                raise UserError(f"{path} is a {kinds[0]}, but {first.images[0]} is a {kinds[1]}: do not mix them")
        if case.label.suffix.lower() in (".jpg", ".jpeg"):
            raise UserError(f"{case.label}: JPEG changes the numbers of a label map: save it as PNG")
    if found.spatial_dims == 2 and len(first.images) > 1:
        raise UserError(
            f"{first.images[1]}: pictures of one file each are needed: join the channels to a colour picture"
        )
