"""nnU-Net's names: CASE_0000, CASE_0001 … are the channels of a case, and its label map has the name of the case."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.files import case_name, read_json, write_text

from ..bundle.inference import InferenceBundle
from ..data.labelling import IGNORE
from ..data.sources.nnunet import CHANNEL
from ..errors import UserError
from .cases import Case

DESCRIPTION = ("dataset.json", "plans.json")
"""What nnUNetv2_evaluate_folder reads beside the label maps."""


def by_channels(cases: Sequence[Case], channels: int) -> list[Case]:
    """Put the files of each case together.

    Args:
        cases: images as :func:`.cases.find_cases` gives them.
        channels: how many the bundle takes.

    Returns:
        The cases with nnU-Net's names, in their order. One that lacks a channel, or has more than the bundle takes, has
        a fault. DICOM series, and images whose name has no number, stay as they are.
    """
    groups: dict[str, dict[int, Case]] = {}
    result = []
    for case in cases:
        name = case_name(case.files[0])
        matched = CHANNEL.search(name)
        if case.kind == "dicom" or len(case.files) > 1 or matched is None:
            result.append(case)
        else:
            folder = Path(case.source).parent.as_posix()
            prefix = case.name.removesuffix(name) + name[: matched.start()]
            groups.setdefault(f"{folder}/{prefix}", {})[int(matched[1])] = replace(case, name=prefix)
    for files in groups.values():
        first = files[min(files)]
        paths = tuple(files[number].files[0] for number in sorted(files))
        missing = [number for number in range(channels) if number not in files]
        fault = first.fault
        if missing:
            fault = f"{first.name} has no file of the channel _{missing[0]:04d}"
        elif len(files) > channels:
            fault = f"{first.name} has {len(files)} files, one for each channel, but the bundle takes {channels}"
        result.append(replace(first, files=paths, fault=fault))
    return sorted(result, key=lambda case: case.name)


def write_description(folder: Path, bundle: InferenceBundle, ending: str, overwrite: bool) -> None:
    """Write the ``dataset.json`` and ``plans.json`` that nnUNetv2_evaluate_folder asks for.

    Files that are there are kept, as they may be nnU-Net's own.

    Args:
        folder: where the label maps are.
        bundle: whose labels they have.
        ending: of the label maps, such as ".nii.gz".
        overwrite: whether to replace files that are there.
    """
    channels = {str(number): bundle.takes["channel_def"][str(number)] for number in range(bundle.channels)}
    content = {
        "dataset.json": {
            "channel_names": channels,
            **_labels(bundle),
            "file_ending": ending,
        },
        "plans.json": {"label_manager": "LabelManager"},
    }
    _write(folder, content, overwrite)


def copy_description(source: Path, target: Path, ending: str, overwrite: bool) -> None:
    """Take over what :func:`write_description` wrote, for label maps of the same labels in another folder.

    Args:
        source: folder of label maps with nnU-Net's names.
        target: the other folder; files that are there are kept.
        ending: of the label maps in the other folder.
        overwrite: whether to replace files that are there.

    Raises:
        UserError: if they are not in ``source``.
    """
    for name in DESCRIPTION:
        if not (source / name).is_file():
            raise UserError(f"{source} has no {name}: predict with --nnunet_names, or leave it out here")
    content = {name: read_json(source / name) for name in DESCRIPTION}
    content["dataset.json"]["file_ending"] = ending
    _write(target, content, overwrite)


def _write(folder: Path, content: Mapping[str, Any], overwrite: bool) -> None:
    for name, values in content.items():
        if overwrite or not (folder / name).exists():
            write_text(folder / name, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _labels(bundle: InferenceBundle) -> dict[str, Any]:
    """The labels as nnU-Net's dataset.json has them, with regions and ignored voxels."""
    ignore = bundle.get("ignore_label")
    ignored = {} if ignore is None else {IGNORE: ignore}
    if not bundle.takes_regions:
        return {"labels": {name: number for number, name in bundle.labels.items()} | ignored}
    regions = {bundle.heads[channel]: list(labels) for channel, labels in enumerate(bundle.get("regions"))}
    order = list(bundle.get("regions_class_order"))
    return {"labels": {"background": 0, **regions, **ignored}, "regions_class_order": order}
