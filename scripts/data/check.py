"""``data check``: check a data set for damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.files import read_json
from components.validation import check_choice, did_you_mean

from ..errors import UserError
from ..hints import Count
from .dataset import FOLDERS, PARTS
from .faults import CheckJob, Findings, inspect
from .labelling import recorded
from .labels import CLASSES
from .reading import naming
from .scales import mixed_scales
from .work import process_count, work


def check(dataset_dir: str, bundle: str | None = None, processes: Count | None = None) -> int:
    """Check a data set for damage before you train on it.

    It finds missing, unreadable and truncated files, images and labels that differ in shape, affine or spacing,
    labels that the bundle does not have or that are empty (except those that were empty in the source, see
    dataset.json), NaN and infinity, and images or slices that are in more than one of training, validation and test.
    Volumes of several types, or of very different scales, are noted as well. Each fault is a line with the name of the
    file. The exit status is 1 if there are faults.

    Args:
        dataset_dir: the data set, a folder with datalist.json; or a folder in nnU-Net's raw layout, as new reads it.
        bundle: name of the bundle that is to read it; by default the one in dataset.json.
        processes: how many items are checked at once; by default one for each processor, up to 8.

    Example:
        scanseg data check data/msvm_synapse
    """
    from ..new.own_data import is_raw
    from ..new.raw_check import check_raw  # a layout of new, which itself is built on this package

    folder = Path(dataset_dir)
    processes = process_count(processes)
    if not (folder / "datalist.json").is_file() and is_raw(folder):
        if bundle is not None:
            raise UserError(f"{folder} has nnU-Net's raw layout, which belongs to no bundle: leave out --bundle")
        return check_raw(folder, processes)
    lists, record, whole = _read(folder)
    name = bundle or record.get("bundle")
    if name is None:
        raise UserError(f"{folder} has no dataset.json that names a bundle: give its name with --bundle")
    classes = _classes(name, record)
    with naming(folder / "dataset.json"):
        ignore = recorded(record).ignore

    empty = set(record.get("empty_labels", ()))
    jobs = [
        CheckJob(folder, part, item, name, len(classes), item.get("label") in empty, ignore)
        for part, items in lists.items()
        for item in items
    ]
    found = {id(job): findings for job, findings in work(inspect, jobs, processes, "checking", "items")}
    faults = [*_list_faults(lists, record, name, classes)]
    faults += [fault for job in jobs for fault in found[id(job)].faults]
    faults += _shared(jobs, [found[id(job)] for job in jobs], whole)
    for fault in faults:
        print(fault)
    scales = {job.item["image"]: scale for job in jobs if (scale := found[id(job)].scale) is not None}
    if note := mixed_scales(scales, absolute=str(record.get("modality", "")).upper() == "CT"):
        print(f"note: {note}")
    counts = ", ".join(f"{len(items)} {part}" for part, items in lists.items())
    known = f"; {len(empty)} labels were empty in the source" if empty else ""
    print(f"{folder}: {len(faults) or 'no'} fault{'s' * (len(faults) != 1)} in {len(jobs)} items ({counts}){known}")
    return 1 if faults else 0


def _read(folder: Path) -> tuple[dict[str, list[dict[str, str]]], dict[str, Any], set[str]]:
    """The lists with the files of each item, dataset.json, and images for the validation of a fold.

    Such an image is one of training, too: the whole volume of its slices.
    """
    if not (folder / "datalist.json").is_file():
        raise UserError(f"{folder} has no datalist.json: give a dataset_dir, as data prepare and data sample make it")
    lists = read_json(folder / "datalist.json")
    shaped = isinstance(lists, dict) and all(
        isinstance(items, list) and all(isinstance(item, dict) for item in items) for items in lists.values()
    )
    if not shaped:
        raise UserError(f"{folder / 'datalist.json'} must hold lists of items by name: {', '.join(PARTS)}")
    for key in dict.fromkeys(key for items in lists.values() for item in items for key in item):
        if key not in FOLDERS and (hint := did_you_mean(key, FOLDERS, prefix="'", suffix="'")):
            raise UserError(f"{folder / 'datalist.json'}: an item has the key {key!r}{hint}")
    record = read_json(folder / "dataset.json") if (folder / "dataset.json").is_file() else {}
    for item in (item for found in lists.values() for item in found):
        if "fold" in item and (type(item["fold"]) is not int or item["fold"] < 0):
            raise UserError(
                f"{folder / 'datalist.json'}: {item.get('image')} has the fold {item['fold']!r}, but a number from 0 "
                f"on is needed"
            )
    items = {part: [_files(item) for item in found] for part, found in lists.items()}
    whole = {_files(item)["image"] for item in lists.get("validation", ()) if "fold" in item and "image" in item}
    return items, record if isinstance(record, dict) else {}, whole


def _files(item: dict[str, Any]) -> dict[str, str]:
    """Files by what they are; an image of several files, one for each channel, is "image", "image 1" and so on."""
    files = {key: str(value) for key, value in item.items() if key in FOLDERS and not isinstance(value, list)}
    channels = item["image"] if isinstance(item.get("image"), list) else []
    return {f"image {n}" if n else "image": str(path) for n, path in enumerate(channels)} | files


def _classes(name: str, record: dict[str, Any]) -> Sequence[str]:
    """Names of the classes of a bundle: of a user's own bundle those in the data set that was made for it."""
    labels = record.get("labels")
    if name not in CLASSES and name == record.get("bundle") and isinstance(labels, dict):
        return [labels.get(str(number), "") for number in range(len(labels))]
    check_choice("bundle", name, CLASSES)
    return CLASSES[name]


def _list_faults(
    lists: dict[str, list[dict[str, str]]], record: dict[str, Any], bundle: str, classes: Sequence[str]
) -> Iterator[str]:
    for part in PARTS:
        if part not in lists:
            yield f"datalist.json: has no list {part}"
    if not lists.get("training"):
        yield "datalist.json: there is no training item"
    labels = record.get("labels")
    if labels is not None and labels != {str(number): name for number, name in enumerate(classes)}:
        yield f"dataset.json: its labels are not those of {bundle}"
    numbers = record.get("number", {})
    for part, items in lists.items():
        if part in numbers and numbers[part] != len(items):
            yield f"dataset.json: says {numbers[part]} {part} items, but datalist.json has {len(items)}"
    named = Counter(path for items in lists.values() for item in items for path in item.values())
    for path, count in named.items():
        if count > 1:
            yield f"{path}: is in datalist.json {count} times"


def _shared(jobs: list[CheckJob], findings: list[Findings], whole: set[str]) -> Iterator[str]:
    first: dict[str, tuple[str, str]] = {}
    reported = set()
    for job, found in zip(jobs, findings, strict=True):
        in_part = "training" if job.item.get("image") in whole else job.part
        for digest, place in found.hashes.items():
            part, other = first.setdefault(digest, (in_part, place))
            files = place.partition(" (")[0], other.partition(" (")[0]
            if part != in_part and files not in reported:
                reported.add(files)
                yield f"{place}: the same image as {other}, which is in {part}"
