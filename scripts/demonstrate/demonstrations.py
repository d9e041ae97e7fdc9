"""The demonstrations, and the commands that each consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bundle.find import find_bundle
from ..installed import PACKAGE
from ..run.monai_command import monai_command


@dataclass(frozen=True)
class Demonstration:
    """A training of a few minutes and what it is to reach.

    Args:
        bundle: name of the bundle.
        config: config beside the bundle's own ones, with the settings of the demonstration.
        score: name of the strict score in ``metrics.json`` whose mean counts.
        aim: what this mean is to reach, 0 to 1.
        what: description of what is shown, including the data on which it is scored.
    """

    bundle: str
    config: str
    score: str
    aim: float
    what: str


DEMONSTRATIONS: dict[str, Demonstration] = {
    "cells": Demonstration(
        "xlstm_cells",
        "demo.json",
        "f1",
        0.6,
        "real nuclei: trained on the left half of one micrograph, scored on its right half",
    ),
    "mri": Demonstration(
        "xlstm_abdomen_mri_3d",
        "overfit.json",
        "dice",
        0.9,
        "overfitting: scored on the two volumes of one real abdominal MR that it was trained on",
    ),
    "ct": Demonstration(
        "msvm_synapse",
        "overfit.json",
        "dice",
        0.9,
        "overfitting: scored on the slices of one real abdominal CT that it was trained on",
    ),
}


def commands_of(chosen: Demonstration, folder: Path, override: Mapping[str, Any]) -> dict[str, list[str]]:
    """The commands of a demonstration, by step, each as the words after ``python``.

    Args:
        chosen: the demonstration.
        folder: where data, output and weights go.
        override: other values of the training, by id.
    """
    root = find_bundle(chosen.bundle)
    places = {"dataset_dir": "data", "output_dir": "output", "ckpt_dir": "models"}
    paths = {key: folder / value for key, value in places.items()}
    return {
        "sample": ["-m", PACKAGE, "data", "sample", "--bundle", chosen.bundle, "--out", str(folder / "data")],
        "training": monai_command("training", root, [chosen.config], {**paths, **override}),
        "evaluating": monai_command("evaluating", root, [chosen.config], paths),
    }
