"""``python -m benchmarks ignored``: a data set with half of its slices ignored beside one where they are absent.

The network sees slices. In space the two would not be the same data: without every second slice it sees other shapes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

import nibabel as nib
import numpy as np
from monai.bundle import run
from scipy.stats import ttest_ind

from components.files import read_json, write_text
from scripts.errors import UserError
from scripts.hints import Count, check_arguments
from scripts.new.command import new
from scripts.new.own_data import Source, find_sources
from scripts.predict.command import quiet
from scripts.tables import aligned

SUPERIOR = 2
"""Number of the axis across the slices, as nibabel counts."""
ARMS = ("ignored", "absent")
NETWORK = {
    "patch_size": [48, 32],
    "network_def#features": [16, 32, 64],
    "network_def#kernel_sizes": [3, 3, 3],
    "network_def#strides": [1, 2, 2],
    "network_def#blocks_per_stage": [1, 1, 1],
}
"""A small network for slices of the hippocampus."""
TRAINING = {"augmented_size": [64, 56], "loss#weights": [0.666667, 0.333333], "batch_size": 12, "cache_rate": 1.0}


def ignored(
    data: str, out: str, iterations: Count = 300, cases: Count = 40, held: Count = 40, seeds: Count = 3
) -> None:
    """Train a network of slices on volumes with every second slice ignored, and on the same ones without these slices.

    Both trainings have the same settings, and both networks are scored on the same whole volumes. What is finished is
    not done again.

    Args:
        data: volumes in nnU-Net's raw layout, about as large as those of the hippocampus.
        out: folder for all that is made.
        iterations: of each training.
        cases: volumes to train on.
        held: other volumes to score on.
        seeds: trainings of each kind.
    """
    check_arguments(ignored, locals())
    folder = Path(out).resolve()
    found = sorted(find_sources(Path(data)).cases, key=lambda case: case.name)
    if len(found) < cases + held:
        raise UserError(f"{data} has {len(found)} cases, but {cases} + {held} are needed: give fewer")
    scores: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for arm in ARMS:
        if not (folder / arm).is_dir():
            _write(folder / "raw" / arm, found[:cases], found[cases : cases + held], arm)
            new(arm, "xlstm_hippocampus_mri_3d", str(folder / "raw" / arm), str(folder), configuration="2d")
    for seed in range(seeds):
        for arm in ARMS:
            scores[arm].append(_score(folder, arm, seed, iterations))
    for line in _summary(scores):
        print(line)


def _write(raw: Path, training: Sequence[Source], test: Sequence[Source], arm: str) -> None:
    """A data set in nnU-Net's raw layout, in whose training cases every second slice is known."""
    for part, chosen in (("Tr", training), ("Ts", test)):
        for number, case in enumerate(chosen):
            image, label = nib.load(case.images[0]), nib.load(case.label)
            array = np.asanyarray(label.dataobj).astype(np.uint8)
            known = [slice(None)] * 3
            known[int(np.argmax(nib.io_orientation(image.affine)[:, 0] == SUPERIOR))] = slice(number % 2, None, 2)
            if part == "Tr" and arm == "absent":
                image, array = image.slicer[tuple(known)], array[tuple(known)]
            elif part == "Tr":
                everything, array = array, np.full_like(array, 3)
                array[tuple(known)] = everything[tuple(known)]
            for kind, content, name in (
                ("images", image, f"{case.name}_0000"),
                ("labels", nib.Nifti1Image(array, image.affine), case.name),
            ):
                path = raw / f"{kind}{part}" / f"{name}.nii.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                nib.save(content, path)
    labels = {"background": 0, "anterior": 1, "posterior": 2, **({"ignore": 3} if arm == "ignored" else {})}
    content = {"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz"}
    write_text(raw / "dataset.json", json.dumps(content))


def _score(folder: Path, arm: str, seed: int, iterations: int) -> float:
    """Mean Dice of a training, which is done unless it is there."""
    place = folder / f"{arm}{seed}"
    path = place / "output" / "metrics.json"
    if not path.is_file():
        bundle = folder / arm
        common = {
            "bundle_root": str(bundle),
            "dataset_dir": str(bundle / "data"),
            "output_dir": str(place / "output"),
            "ckpt_dir": str(place / "models"),
            "num_workers": 0,
            "logging_file": None,
            **NETWORK,
        }
        epochs = max(1, iterations // 50)
        length = {"max_epochs": epochs, "epoch_length": iterations // epochs, "val_interval": epochs + 1}
        configs = [str(bundle / f"configs/{name}.json") for name in ("train", "adamw")]
        with quiet():
            begin = time.process_time()
            run("training", config_file=configs, seed=seed, **length, **TRAINING, **common)
            spent = time.process_time() - begin
            run("evaluating", config_file=str(bundle / "configs/evaluate.json"), **common)
        print(f"{arm}, seed {seed}: {spent:.0f} CPU seconds of training", flush=True)
    return read_json(path)["mean"]["strict"]["dice"]


def _summary(scores: dict[str, list[float]]) -> list[str]:
    """Mean Dice of each kind with the deviation of its trainings, and whether these explain the difference."""
    rows = [
        (
            arm,
            f"{fmean(found):.4f}",
            f"{stdev(found):.4f}" if len(found) > 1 else "–",
            " ".join(f"{v:.4f}" for v in found),
        )
        for arm, found in scores.items()
    ]
    lines = [aligned(rows, ("slices", "mean Dice", "deviation", "trainings"))]
    first, second = scores.values()
    if len(first) > 1:
        found = ttest_ind(first, second, equal_var=False)
        lines.append(
            f"difference {fmean(first) - fmean(second):+.4f}, Welch's t test over the trainings: p {found.pvalue:.2f}"
        )
    return lines
