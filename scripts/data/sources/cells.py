"""The NeurIPS 2022 cell segmentation challenge, for xlstm_cells.

Source: Ma et al., "The multimodality cell segmentation challenge", Nature Methods 21 (2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.images.intensities import stretched_rgb

from ..dataset import Dataset
from ..labels import CLASSES, remap
from ..layouts import ConversionPlan, Files, Layout, RawCase, pairs
from ..output import Output, numbered
from ..reading import naming, read_picture, same_shape
from .nnunet import Pairs, dataset_json, divided, find_pairs, label_table, split_words

BUNDLE = "xlstm_cells"
PICTURE = r"\.(?:png|bmp|tiff?|jpe?g)"
TRAINING_FOLDER = r"train[^/]*"
TEST_FOLDER = r"tun[^/]*"


def find_raw(files: Files) -> ConversionPlan | None:
    """Plan for the pictures with instance maps, as the challenge gives them."""
    training, notes = _instances(files, TRAINING_FOLDER)
    if not training:
        return None
    test, more = _instances(files, TEST_FOLDER)
    if not test:
        more.append("there are no test cases: no Tuning folder with images and labels")
    dataset = _dataset("NeurIPS 2022 cell segmentation", "the tuning set, as published.")
    dataset.details["intensities"] = "each channel stretched from its percentiles 1 and 99 over non-zero to 8 bits"
    return ConversionPlan(divided(training, test), convert_instances, dataset, notes + more)


def find_nnunet(files: Files) -> ConversionPlan | None:
    """Plan for Dataset703_NeurIPSCell, whose training labels are classes and whose test labels are instance maps."""
    training, notes = find_pairs(files, "imagesTr", "labelsTr", r"\.png")
    if not training:
        return None
    test: Pairs = {}
    tail = r"(?:_label)?\.(?:tiff?|png)"
    for images, labels in (("imagesVal", "labelsVal-instance-mask"), ("imagesTs", "labelsTs")):
        found, more = find_pairs(files, images, labels, r"\.png", tail=tail)
        test = test or found
        notes += more
    if not test:
        notes.append("there are no test cases: imagesVal has no labelsVal-instance-mask, and imagesTs no labelsTs")
    json_file = dataset_json(training)
    table, _, more = label_table(BUNDLE, json_file)
    dataset = _dataset("NeurIPS 2022 cell segmentation, from Dataset703_NeurIPSCell", "imagesVal, as published.")
    dataset.details |= {
        "intensities": "RGB, 8 bits, as in the files",
        "validation_instances": "the connected pieces of the interior, because these files have no instance maps",
    }
    return ConversionPlan(divided(training, test), ConvertClasses(table), dataset, notes + more)


LAYOUTS = (
    Layout(
        "NeurIPS 2022 cell segmentation challenge",
        "Training-labeled/images/cell_00001.bmp with Training-labeled/labels/cell_00001_label.tiff, and Tuning in the "
        "same way",
        find_raw,
    ),
    Layout(
        "nnU-Net's Dataset703_NeurIPSCell",
        "imagesTr/cell_00001_0000.png with labelsTr/cell_00001.png and dataset.json, imagesVal with "
        "labelsVal-instance-mask",
        find_nnunet,
    ),
)


def convert_instances(case: RawCase, folder: Path) -> dict[str, Any]:
    """Picture as 8-bit RGB, classes, and the instances themselves for scoring."""
    picture = read_picture(case.files["image"])
    instances = read_picture(case.files["label"], numbers=True)
    with naming(case.files["image"]):
        picture = stretched_rgb(picture)
    return _write(case, folder, picture, instances)


@dataclass(frozen=True)
class ConvertClasses:
    """Make a picture of nnU-Net's form.

    Args:
        table: label in the file → class of the bundle.
    """

    table: Mapping[int, int]

    def __call__(self, case: RawCase, folder: Path) -> dict[str, Any]:
        """Picture, classes, and instances for validation and test."""
        from components.transforms.instances import instances_of

        label = read_picture(case.files["label"], numbers=True)
        if case.part == "test":
            return _write(case, folder, case.files["image"], label)
        picture = read_picture(case.files["image"])
        with naming(case.files["label"], case.files["image"]):
            same_shape(picture, label, axes=2)
            label = remap(_flat(label), self.table)
        output = Output(folder)
        instances = instances_of(label) if case.part == "validation" else None
        output.picture(case.part, case.name, case.files["image"], label, instances)
        return output.record()


def _write(case: RawCase, folder: Path, picture: np.ndarray | Path, instances: np.ndarray) -> dict[str, Any]:
    from components.transforms.instances import interior_boundary

    shown = read_picture(picture) if isinstance(picture, Path) else picture
    with naming(case.files["label"], case.files["image"]):
        instances = numbered(_flat(instances))
        same_shape(shown, instances, axes=2)
    output = Output(folder)
    output.picture(case.part, case.name, picture, interior_boundary(instances), instances)
    return output.record()


def _flat(label: np.ndarray) -> np.ndarray:
    if label.ndim != 2:
        raise ValueError(f"the label has shape {label.shape}, but a map of numbers with two axes is needed")
    return label


def _instances(files: Files, folder: str) -> tuple[Pairs, list[str]]:
    found, notes = pairs(
        files.match(rf"{folder}/images/(?P<case>[^/]+){PICTURE}"),
        files.match(rf"{folder}/labels/(?P<case>[^/]+?)_label{PICTURE}"),
    )
    return {key[0]: pair for key, pair in found.items()}, notes


def _dataset(name: str, test: str) -> Dataset:
    return Dataset(
        name=name,
        bundle=BUNDLE,
        description="Microscopy of cells of many kinds with the interior and the boundary of each cell; the instances "
        "themselves are in the folder instances.",
        modality="microscopy",
        source="NeurIPS 2022 Cell Segmentation Challenge, neurips22-cellseg.grand-challenge.org",
        licence="as stated where the data set is published",
        labels=CLASSES[BUNDLE],
        split=split_words(test, "images"),
        details={"spacing": "none"},
    )
