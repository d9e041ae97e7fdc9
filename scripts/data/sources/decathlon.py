"""The layout of the Medical Segmentation Decathlon, for any of its tasks.

Source: Antonelli et al., "The Medical Segmentation Decathlon", Nature Communications 13 (2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.files import read_json

from ...errors import UserError
from ..dataset import Dataset
from ..labels import remap
from ..layouts import ConversionPlan, Files, Layout, RawCase, held_out
from ..output import Output
from ..reading import naming, read_labels_of, read_nifti_channels
from .abdomen_mri import SUFFIX, compact
from .nnunet import Pairs, dataset_json, divided, find_pairs, label_names, split_words

TASK = "decathlon"
"""Name of a data set of any task, for ``scanseg new``."""


@dataclass(frozen=True)
class Convert:
    """Make a volume.

    Args:
        table: label in the file → class.
    """

    table: Mapping[int, int]

    def __call__(self, case: RawCase, folder: Path) -> dict[str, Any]:
        """Volume with a file for each channel, intensities as in the file."""
        channels, image = read_nifti_channels(case.files["image"], case.axcodes)
        labels = read_labels_of(case, image)
        with naming(case.files["image"]):
            channels = [compact(channel) for channel in channels]
        with naming(case.files["label"], case.files["image"]):
            labels = remap(labels, self.table)
        output = Output(folder)
        output.volume(case.part, case.name, channels, labels, image.affine)
        return output.record()


def find_task(files: Files) -> ConversionPlan | None:
    """Plan for any task, with the classes and channels that its dataset.json names."""
    training, record, json_file, notes = find_training(files)
    if not training:
        return None
    names = label_names(json_file)
    table = {value: number for number, value in enumerate(sorted({0, *names}))}
    test = held_out(training)
    if len(training) - len(test) < 2:
        raise UserError(f"{files.root}: {len(training)} cases are too few to divide: at least three are needed")
    cases = divided(
        {name: pair for name, pair in training.items() if name not in test},
        {name: training[name] for name in training if name in test},
    )
    classes = tuple(names.get(value, "background") for value in sorted(table))
    words = split_words("as many cases, chosen in the same way before, as the published test cases have no labels.")
    return ConversionPlan(cases, Convert(table), describe(TASK, record, classes, words), notes)


def find_training(files: Files) -> tuple[Pairs, dict[str, Any], Path, list[str]]:
    """Training cases of a task by name, the content of its dataset.json, the file itself, and notes; none elsewhere."""
    training, notes = find_pairs(files, "imagesTr", "labelsTr", SUFFIX, channel="")
    if not training:
        return {}, {}, Path(), []
    json_file = dataset_json(training)
    label_names(json_file)  # raises if something is wrong with it
    record = read_json(json_file)
    if not isinstance(record.get("modality"), dict):
        return {}, {}, Path(), []
    listed = {Path(str(item.get("image", ""))).name.removesuffix(".gz").removesuffix(".nii")
              for item in record.get("training", []) if isinstance(item, dict)}  # fmt: skip
    if missing := sorted(listed - set(training)):
        notes.append(f"{len(missing)} of the {len(listed)} training cases of {json_file.name} are missing")
    if files.match(rf"imagesTs/(?P<case>[^/]+){SUFFIX}"):
        notes.append("imagesTs is left out: it has no labels")
    return training, record, json_file, notes


def describe(bundle: str, record: Mapping[str, Any], classes: tuple[str, ...], split: str) -> Dataset:
    """What is known of a task without its lists."""
    modality = record["modality"]
    channels = [str(modality[key]) for key in sorted(modality, key=lambda key: int(key) if key.isdigit() else 0)]
    return Dataset(
        name=str(record.get("name") or "Decathlon task"),
        bundle=bundle,
        description=str(record.get("description", "")),
        modality=" and ".join(channels),
        source=f"Medical Segmentation Decathlon, medicaldecathlon.com; {record.get('reference', '')}".rstrip("; "),
        licence=str(record.get("licence") or record.get("license") or "CC BY-SA 4.0"),
        labels=classes,
        split=split,
        details={"channels": channels, "spacing": "from the files", "intensities": "as in the files"},
    )


WANTED = 'imagesTr/NAME.nii.gz with labelsTr/NAME.nii.gz and dataset.json with "modality", "labels" and "training"'
LAYOUTS = (Layout("a task of the Medical Segmentation Decathlon", WANTED, find_task),)
