"""EndoVis 2017 robotic instruments, for xlstm_endoscopy.

Source: Allan et al., "2017 Robotic Instrument Segmentation Challenge", arXiv 1902.06426.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ..dataset import Dataset
from ..labels import CLASSES, remap
from ..layouts import ConversionPlan, Files, Layout, RawCase, held_out
from ..output import Output
from ..reading import naming, read_picture, same_shape
from .nnunet import Pairs, dataset_json, divided, find_pairs, label_table, split_words

BUNDLE = "xlstm_endoscopy"
FOLDER_WORDS = {
    "monopolar": 6, "bipolar": 1, "prograsp": 2, "needle_driver": 3, "vessel_sealer": 4, "grasping_retractor": 5,
    "ultrasound": 7, "other": 7,
}  # fmt: skip
"""What the names of the mask folders contain, for example "Maryland_Bipolar_Forceps_labels", and the class."""
SEQUENCES = 8
"""Number of videos in the training set."""
NUMBERS = {number: number for number in range(1, len(CLASSES[BUNDLE]))}


def find_raw(files: Files) -> ConversionPlan | None:
    """Plan for the videos as frames, with a mask for each instrument (training) or a map of types (test)."""
    sequence = r"(?P<folder>.*instrument_dataset_(?P<sequence>\d+))"
    frames = files.match(rf"{sequence}/left_frames?/frame(?P<frame>\d+)\.(?:png|jpg|bmp)")
    masks: dict[tuple[str, str, str], list[Path]] = {}
    for (folder, number, _, frame), path in files.match(
        rf"{sequence}/ground_truth/(?P<instrument>[^/]+)/frame(?P<frame>\d+)\.png"
    ).items():
        masks.setdefault((folder, number, frame), []).append(path)
    types = {
        (number, frame): path
        for (_, number, frame), path in files.match(
            rf"{sequence}/(?:gt|ground_truth)/TypeSegmentation/frame(?P<frame>\d+)\.png"
        ).items()
    }
    masks = {key: found for key, found in masks.items() if found[0].parent.name != "TypeSegmentation"}
    _check_masks(masks)
    training = {key: frames[key] for key in frames if key in masks}
    if not training:
        return None
    others = {key[1:]: path for key, path in frames.items() if key not in training}
    validation = held_out(number for _, number, _ in training)
    cases = [
        RawCase(
            f"seq{int(number):02d}_frame{int(frame):03d}", part, {"image": path, "masks": masks[folder, number, frame]}
        )
        for part in ("training", "validation")
        for (folder, number, frame), path in training.items()
        if (number in validation) == (part == "validation")
    ]
    cases += [
        RawCase(f"seq{int(number):02d}_frame{int(frame):03d}", "test", {"image": path, "types": types[number, frame]})
        for (number, frame), path in others.items()
        if (number, frame) in types
    ]
    notes = []
    if alone := [path for key, path in others.items() if key not in types]:
        notes.append(f"left out: {len(alone)} frames without label, the first is {alone[0]}")
    if cases[-1].part != "test":
        notes.append("there are no test cases: no frames with instrument_dataset_N/gt/TypeSegmentation")
    dataset = _dataset("EndoVis 2017")
    dataset.details["masks"] = "where masks of several instruments overlap, the class with the higher number counts"
    dataset.details["validation_sequences"] = sorted(int(number) for number in validation)
    return ConversionPlan(cases, convert_raw, dataset, notes)


def find_nnunet(files: Files) -> ConversionPlan | None:
    """Plan for Dataset704_Endovis17."""
    training, notes = find_pairs(files, "imagesTr", "labelsTr", r"\.png")
    if not training:
        return None
    test: Pairs = {}
    for part in ("Ts", "Val"):
        found, more = find_pairs(files, f"images{part}", f"labels{part}", r"\.png")
        test = test or found
        notes += more
    if not test:
        notes.append("there are no test cases: imagesTs has no labels")
    json_file = dataset_json(training)
    table, _, more = label_table(BUNDLE, json_file)
    cases = divided(training, test, videos(training))
    dataset = _dataset("EndoVis 2017, from Dataset704_Endovis17")
    return ConversionPlan(cases, Convert(table), dataset, notes + more)


LAYOUTS = (
    Layout(
        "EndoVis 2017 frames",
        "instrument_dataset_1/left_frames/frame000.png with instrument_dataset_1/ground_truth/"
        "Left_Prograsp_Forceps_labels/frame000.png",
        find_raw,
    ),
    Layout(
        "nnU-Net's Dataset704_Endovis17",
        "imagesTr/CASE_0000.png with labelsTr/CASE.png and dataset.json",
        find_nnunet,
    ),
)


def instrument_class(folder: str) -> int:
    """Class of a folder of masks by its name.

    Raises:
        ValueError: if the name has no instrument in it.

    Example:
        >>> instrument_class("Maryland_Bipolar_Forceps_labels"), instrument_class("Monopolar_Curved_Scissors_labels")
        (1, 6)
    """
    name = folder.lower().replace(" ", "_")
    for word, number in FOLDER_WORDS.items():
        if word in name:
            return number
    raise ValueError(f"the name has none of the instruments {', '.join(FOLDER_WORDS)}")


def videos(names: Iterable[str]) -> dict[str, str]:
    """Which video each frame belongs to, by its name without the number at the end.

    If the names do not show it, the frames in the order of their names are cut into as many equal runs as there are
    videos, so that neighbours stay together.

    Example:
        >>> videos(["seq1_frame8", "seq1_frame9", "seq2_frame0"])
        {'seq1_frame8': 'seq1_frame', 'seq1_frame9': 'seq1_frame', 'seq2_frame0': 'seq2_frame'}
    """
    names = list(names)
    groups = {name: re.sub(r"\d+$", "", name) for name in names}
    if 1 < len(set(groups.values())) < len(names):
        return groups
    length = max(1, -(-len(names) // SEQUENCES))
    return {name: f"run{place // length}" for place, name in enumerate(names)}


def convert_raw(case: RawCase, folder: Path) -> dict[str, Any]:
    """Frame and classes, from the masks of the instruments or from a map of types."""
    shape = read_picture(case.files["image"]).shape[:2]
    labels = np.zeros(shape, np.uint8)
    if "types" in case.files:
        labels = _numbers(case.files["types"], labels, NUMBERS)
    for path in sorted(case.files.get("masks", ()), key=lambda path: instrument_class(path.parent.name)):
        mask = read_picture(path)
        with naming(path, case.files["image"]):
            same_shape(labels, mask, axes=2)
            labels[mask.any(2) if mask.ndim == 3 else mask > 0] = instrument_class(path.parent.name)
    return _write(case, folder, labels)


@dataclass(frozen=True)
class Convert:
    """Make a frame of nnU-Net's form.

    Args:
        table: label in the file → class of the bundle.
    """

    table: Mapping[int, int]

    def __call__(self, case: RawCase, folder: Path) -> dict[str, Any]:
        """Frame and classes."""
        image = read_picture(case.files["image"])
        return _write(case, folder, _numbers(case.files["label"], image, self.table))


def _check_masks(masks: Mapping[tuple[str, str, str], list[Path]]) -> None:
    """Raise UserError unless every mask is of a known instrument, and each frame has those of its video."""
    instruments: dict[str, set[Path]] = {}
    for (folder, _, _), paths in masks.items():
        instruments.setdefault(folder, set()).update(path.parent for path in paths)
    for parent in sorted(set().union(*instruments.values())):
        with naming(parent):
            instrument_class(parent.name)
    for (folder, _, _), paths in masks.items():
        if missing := sorted(instruments[folder] - {path.parent for path in paths}):
            raise UserError(f"{missing[0] / paths[0].name} is missing, though other frames have a mask there")


def _numbers(path: Path, image: np.ndarray, table: Mapping[int, int]) -> np.ndarray:
    labels = read_picture(path, numbers=True)
    with naming(path):
        if labels.ndim == 3:
            raise ValueError("a map of class numbers is needed, not a picture in colours")
        same_shape(image, labels, axes=2)
        return remap(labels, table)


def _write(case: RawCase, folder: Path, labels: np.ndarray) -> dict[str, Any]:
    output = Output(folder)
    output.picture(case.part, case.name, case.files["image"], labels)
    return output.record()


def _dataset(name: str) -> Dataset:
    return Dataset(
        name=name,
        bundle=BUNDLE,
        description="Frames of robotic surgery on pigs with labels of seven kinds of instruments.",
        modality="endoscopy",
        source="EndoVis 2017 Robotic Instrument Segmentation, endovissub2017-roboticinstrumentsegmentation."
        "grand-challenge.org",
        licence="as stated where the data set is published",
        labels=CLASSES[BUNDLE],
        split=split_words("the published test frames.", "videos")
        + " Whole videos are held out, because neighbouring frames resemble each other; the test frames of the videos "
        "1 to 8 are those that follow the training frames.",
        details={"intensities": "RGB, 8 bits", "spacing": "none"},
    )
