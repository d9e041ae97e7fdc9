"""Plans of nnU-Net's own planners for fingerprints of data sets, as JSON: what the tests compare our planner with.

Runs in an environment of benchmarks/nnunet/environment.sh, from the root of the repository:

    FOLDER/bin/python benchmarks/nnunet/plans.py tests/scripts/new/nnunet_plans.json [--real NAME=FOLDER …]

A fingerprint is what nnU-Net's planner reads of a data set: sizes without empty margins, spacings, the part that is
left without the margins, and dataset.json. Those made up are stated here; those of real data (``--real
hippocampus=FOLDER``, a folder in nnU-Net's layout, or with the folders images and labels) are measured, or kept as the
file has them. No images are needed for the plans.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

PLANNERS = {"default": "ExperimentPlanner", "resenc_m": "nnUNetPlannerResEncM", "resenc_l": "nnUNetPlannerResEncL"}
SPACING_OF_PICTURES = 999.0
"""What nnU-Net writes for the axis that a picture does not have."""
NETWORK = ("strides", "kernel_sizes", "features_per_stage")
KEPT = ("patch_size", "batch_size", "spacing", "normalization_schemes", "use_mask_for_norm", "batch_dice")


def fingerprint(
    cases: list[list[Any]], channels: list[str] | None = None, labels: int = 3, kept: float = 1.0
) -> dict[str, Any]:
    """A fingerprint as the file has it.

    Args:
        cases: rows of how many cases there are, their size in voxels, and their spacing in mm.
        channels: names of the channels.
        labels: number of classes, background included.
        kept: median part of an image that is left without its empty margins.
    """
    return {"channels": channels or ["MR"], "labels": labels, "kept": kept, "cases": cases}


def varied(count: int, size: tuple[int, ...], spacing: tuple[float, ...], seed: int, **others: Any) -> dict[str, Any]:
    """Cases whose sizes and spacings scatter around the ones given, by a fifth and a tenth."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        sizes, spacings = size * rng.uniform(0.8, 1.2, len(size)), spacing * rng.uniform(0.9, 1.1, len(size))
        rows.append([1, [max(1, round(n)) for n in sizes], [round(s, 4) for s in spacings]])
    return fingerprint(rows, **others)


def pictures(count: int, *sizes: tuple[int, int], **others: Any) -> dict[str, Any]:
    """Pictures, as many of each size, as nnU-Net sees them: volumes of one slice."""
    return fingerprint([[count, [1, *size], [SPACING_OF_PICTURES, 1.0, 1.0]] for size in sizes], **others)


def made_up() -> dict[str, dict[str, Any]]:
    """Fingerprints of many kinds of data sets."""
    rgb = ["R", "G", "B"]
    return {
        "abdominal MR": fingerprint([[60, [60, 200, 280], [3.0, 1.19, 1.19]]], labels=14),
        "abdominal CT": varied(40, (90, 480, 480), (5.0, 0.8, 0.8), 1, channels=["CT"], labels=14),
        "large CT": varied(30, (430, 512, 512), (1.0, 0.77, 0.77), 2, channels=["CT"]),
        "lung CT": varied(25, (252, 512, 512), (1.24, 0.79, 0.79), 3, channels=["CT"], labels=2),
        "PET and CT": varied(20, (320, 400, 400), (3.0, 2.04, 2.04), 4, channels=["CT", "PET"], labels=2),
        "heart, thick slices": fingerprint(
            [
                [12, [9, 232, 232], [10.0, 1.5, 1.5]],
                [7, [10, 216, 256], [5.0, 1.37, 1.37]],
                [2, [18, 240, 200], [6.5, 1.8, 1.8]],
            ],
            labels=4,
        ),
        "thick slices, some thin": fingerprint(
            [[17, [8, 232, 232], [10.0, 1.5, 1.5]], [3, [80, 216, 256], [1.0, 1.4, 1.4]]], labels=4
        ),
        "prostate, two channels": varied(16, (20, 320, 320), (3.6, 0.62, 0.62), 5, channels=["T2", "ADC"]),
        "brain, four channels": varied(
            60, (140, 171, 137), (1.0, 1.0, 1.0), 6, channels=["T1", "T1ce", "T2", "FLAIR"], labels=4, kept=0.28
        ),
        "thin": fingerprint([[30, [3, 256, 256], [5.0, 0.9, 0.9]]]),
        "thin, two slices": fingerprint([[30, [2, 300, 200], [8.0, 1.0, 1.0]]], labels=2),
        "flat": fingerprint([[25, [12, 400, 360], [1.0, 1.0, 1.0]]], labels=2),
        "tiny": varied(40, (18, 20, 16), (1.0, 1.0, 1.0), 7, labels=2),
        "tiny, anisotropic": fingerprint([[21, [9, 30, 26], [2.5, 1.0, 1.0]]], labels=2),
        "huge": varied(5, (900, 1800, 1500), (0.5, 0.25, 0.25), 8, labels=2),
        "coarse from left to right": varied(30, (256, 256, 22), (0.7, 0.7, 4.0), 9, labels=5),
        "coarse from front to back": fingerprint([[30, [256, 40, 230], [0.9, 3.0, 0.8]]]),
        "median between two voxels": fingerprint(
            [[2, [40, 128, 96], [1.5, 1.0, 1.0]], [2, [41, 131, 97], [1.5, 1.0, 1.0]]], labels=2
        ),
        "cube": fingerprint([[80, [128, 128, 128], [1.0, 1.0, 1.0]]], labels=45),
        "long": varied(30, (500, 48, 40), (1.0, 1.0, 1.0), 10, labels=2),
        "spacing of twice the finest": fingerprint([[30, [96, 192, 192], [2.0, 1.0, 1.0]]]),
        "spacing of thrice the finest": fingerprint([[30, [64, 200, 200], [3.0, 1.0, 1.0]]]),
        "every axis another spacing": varied(24, (150, 260, 180), (1.6, 0.7, 1.1), 11, labels=9),
        "few cases": fingerprint([[3, [48, 96, 96], [1.0, 1.0, 1.0]]], labels=2),
        "many small cases": fingerprint(
            [[90, [60, 62, 58], [1.0, 1.0, 1.0]], [210, [64, 57, 60], [1.0, 1.0, 1.0]]], labels=2
        ),
        "endoscopy": pictures(1800, (1080, 1920), channels=rgb, labels=8),
        "X-rays": pictures(90, (3000, 2500), (2400, 2000), (2800, 2900), channels=["X-ray"], labels=2),
        "microscopy, long": pictures(20, (512, 2048), channels=["zscore"], labels=2),
        "small pictures": pictures(15, (28, 28), channels=["grey"], labels=11),
        "few pictures": pictures(10, (256, 256), channels=rgb, labels=2),
    }


def real(folder: Path) -> dict[str, Any]:
    """Fingerprint of a folder as nnU-Net measures it."""
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero

    record = folder / "dataset.json"
    content = json.loads(record.read_text()) if record.is_file() else {}
    paths = sorted((folder / ("imagesTr" if content else "images")).iterdir())
    reader = SimpleITKIO() if paths[0].name.endswith(".nii.gz") else NaturalImage2DIO()
    cases: Counter[tuple[Any, ...]] = Counter()
    kept = []
    for path in paths:
        image, properties = reader.read_images([str(path)])
        cropped = crop_to_nonzero(image)[0].shape[1:]
        kept.append(np.prod(cropped) / np.prod(image.shape[1:]))
        cases[tuple(int(n) for n in cropped), tuple(float(s) for s in properties["spacing"])] += 1
    channels = list(content["channel_names"].values()) if content else ["R", "G", "B"][: len(image)]
    rows = [[count, *case] for case, count in sorted(cases.items())]
    return fingerprint(rows, channels, len(content.get("labels", range(3))), float(np.median(kept)))


def plans(found: dict[str, Any], root: Path) -> dict[str, Any]:
    """Measure the plans of all planners.

    Args:
        found: a fingerprint.
        root: a folder in which nnU-Net works.
    """
    import torch
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import (
        residual_encoder_unet_planners as residual,
    )

    name = "Dataset001_Fingerprint"
    raw, preprocessed = root / "raw" / name, root / "preprocessed" / name
    for folder in (raw, preprocessed):
        shutil.rmtree(folder, ignore_errors=True)  # nnU-Net keeps the configurations of plans that are there
        folder.mkdir(parents=True)
    rows = [(size, spacing) for count, size, spacing in found["cases"] for _ in range(count)]
    dataset = {
        "channel_names": {str(number): channel for number, channel in enumerate(found["channels"])},
        "labels": {f"class {number}" if number else "background": number for number in range(found["labels"])},
        "numTraining": len(rows),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "dataset": {"case": {"images": ["case.nii.gz"], "label": "case.nii.gz"}},
    }
    measured = {
        "shapes_after_crop": [size for size, _ in rows],
        "spacings": [spacing for _, spacing in rows],
        "median_relative_size_after_cropping": found["kept"],
        "foreground_intensity_properties_per_channel": {},
    }
    (raw / "dataset.json").write_text(json.dumps(dataset))
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(measured))
    result = {}
    for word, planner in PLANNERS.items():
        kind = getattr(residual, planner, ExperimentPlanner)
        with torch.device("meta"):  # networks are made for their sizes only
            content = json.loads(json.dumps(kind(name).plan_experiment(), default=float))
        result[word] = {"transpose": content["transpose_forward"]} | {
            configuration: {key: values[key] for key in KEPT}
            | {key: values["architecture"]["arch_kwargs"][key] for key in NETWORK}
            for configuration, values in content["configurations"].items()
            if "architecture" in values
        }
    return result


def main() -> None:
    """Write the file anew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="JSON file that is written; its real fingerprints are kept")
    parser.add_argument("--real", nargs="*", default=[], metavar="NAME=FOLDER", help="data sets to measure")
    settings = parser.parse_args()
    old = json.loads(settings.file.read_text()) if settings.file.is_file() else {}
    found = {name: entry["fingerprint"] for name, entry in old.items() if entry.get("real")}
    found |= {name: real(Path(folder)) for name, _, folder in (word.partition("=") for word in settings.real)}
    measured = set(found)
    found |= made_up()
    with tempfile.TemporaryDirectory() as folder:
        for variable, part in (("raw", "raw"), ("preprocessed", "preprocessed"), ("results", "results")):
            os.environ[f"nnUNet_{variable}"] = str(Path(folder) / part)
        lines = []
        for name, entry in found.items():
            content = {"real": name in measured, "fingerprint": entry, "plans": plans(entry, Path(folder))}
            lines.append(f"{json.dumps(name)}: {json.dumps(content)}")
    settings.file.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
