"""nnU-Net itself by its own commands, on a CPU, with the same cases, batch and budget."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from components.files import case_name, read_json, write_text
from components.images.endings import ending_of
from components.transforms import InteriorToInstancesd
from scripts.data.dataset import files_of
from scripts.errors import UserError
from scripts.new.derive import GROWN

NUMBER, NAME, PLANS = "901", "Dataset901_Rivals", "scansegPlans"
TRAINER = "nnUNetTrainerBudget"


def check(python: str) -> Path:
    """Folder of nnU-Net's commands beside a Python.

    Raises:
        UserError: if they are not there.
    """
    folder = Path(python).absolute().parent
    if not (folder / "nnUNetv2_train").is_file():
        raise UserError(
            f"--nnunet {python}: {folder} has no nnUNetv2_train; bash benchmarks/nnunet/environment.sh FOLDER makes an "
            f"environment, whose Python is FOLDER/bin/python"
        )
    return folder


def train_and_predict(folder: Path, spec: Mapping[str, Any], python: str, log: Any) -> None:
    """Do what is left to be done in the folder of nnU-Net.

    Args:
        folder: of this seed.
        spec: as of the other networks.
        python: of the environment with nnU-Net.
        log: file for what the commands print.

    Raises:
        UserError: if a command fails.
    """
    commands = check(python)
    shared = folder.parent
    configuration = "3d_fullres" if len(spec["patch_size"]) == 3 else "2d"
    places = {
        "nnUNet_raw": shared / "raw",
        "nnUNet_preprocessed": shared / "preprocessed",
        "nnUNet_results": folder / "results",
        "nnUNet_extTrainer": Path(__file__).with_name("nnunet_trainer"),
        "SCANSEG_RIVAL": folder / "spec.json",
    }
    threads = {f"{name}_NUM_THREADS": str(spec["threads"]) for name in ("OMP", "MKL", "OPENBLAS")}
    environment = {**os.environ, **threads, **{name: str(place) for name, place in places.items()}}

    def run(name: str, *words: str, loaders: int = 1) -> None:
        loading = {"nnUNet_n_proc_DA": str(loaders)}
        done = subprocess.run(
            [str(commands / name), *words], env=environment | loading, stdout=log, stderr=log, check=False
        )
        if done.returncode:
            raise UserError(f"{name} ended with status {done.returncode}: see {log.name}")

    if not (shared / "prepared.json").is_file():
        shutil.rmtree(shared / "raw", ignore_errors=True)
        shutil.rmtree(shared / "preprocessed", ignore_errors=True)
        split = write_raw(shared / "raw" / NAME, Path(spec["dataset_dir"]))
        run("nnUNetv2_plan_and_preprocess", "-d", NUMBER, "-c", configuration, "-np", "1", "-npfp", "1")
        prepared = shared / "preprocessed" / NAME
        plans = read_json(prepared / "nnUNetPlans.json")
        write_text(prepared / f"{PLANS}.json", json.dumps(same_plan(plans, configuration, spec), indent=4))
        write_text(prepared / "splits_final.json", json.dumps([split]))
        write_text(shared / "prepared.json", json.dumps({"configuration": configuration}))
    if not (folder / "training.json").is_file():
        words = [NUMBER, configuration, "0", "-tr", TRAINER, "-p", PLANS, "-device", "cpu"]
        # With --c a training without a checkpoint begins anew. Its data are loaded in its own process.
        run("nnUNetv2_train", *words, "--c", loaders=0)
    if not (folder / "predictions.json").is_file():
        words = ["-i", str(shared / "raw" / NAME / "imagesTs"), "-o", str(folder / "predictions"), "-d", NUMBER]
        words += ["-c", configuration, "-f", "0", "-tr", TRAINER, "-p", PLANS, "-device", "cpu"]
        run("nnUNetv2_predict", *words, "--disable_tta", "-npp", "1", "-nps", "1")
        if spec["instances"]:
            _decode(folder / "predictions")
        write_text(folder / "predictions.json", json.dumps({"folder": str(folder / "predictions")}))


def write_raw(raw: Path, dataset_dir: Path) -> dict[str, list[str]]:
    """Write nnU-Net's raw folder as links to the files of a dataset_dir.

    Args:
        raw: the folder to be.
        dataset_dir: with datalist.json.

    Returns:
        The names of the cases for training and validation.
    """
    lists, about = read_json(dataset_dir / "datalist.json"), read_json(dataset_dir / "dataset.json")
    split: dict[str, list[str]] = {"training": [], "validation": [], "test": []}
    ending, channels = "", 1
    for part, items in lists.items():
        side = "Ts" if part == "test" else "Tr"
        for item in items:
            images = files_of(item["image"])
            name, ending, channels = case_name(images[0]), ending_of(images[0]), len(images)
            split[part].append(name)
            _link(dataset_dir / item["label"], raw / f"labels{side}" / f"{name}{ending_of(item['label'])}")
            for number, image in enumerate(images):
                _link(dataset_dir / image, raw / f"images{side}" / f"{name}_{number:04d}{ending}")
    names = ["red", "green", "blue"] if ending == ".png" else [f"{about['modality'] or 'image'}"] * channels
    content = {
        "channel_names": {str(number): name for number, name in enumerate(names)},
        "labels": {name: int(number) for number, name in about["labels"].items()},
        "numTraining": len(split["training"]) + len(split["validation"]),
        "file_ending": ending,
    }
    write_text(raw / "dataset.json", json.dumps(content, indent=4))
    return {"train": split["training"], "val": split["validation"]}


def same_plan(plans: dict[str, Any], configuration: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """nnU-Net's plan with batch, patch and stages of ours.

    Args:
        plans: nnU-Net's own.
        configuration: the one that is trained.
        spec: batch_size, patch_size, features, kernel_sizes and strides of the plan of our bundle.
    """
    found = plans["configurations"][configuration]
    dims, stages = len(spec["patch_size"]), len(spec["features"])
    architecture = found["architecture"]["arch_kwargs"]

    def axes(values: Sequence[Any]) -> list[list[int]]:
        return [[value] * dims if isinstance(value, int) else list(value) for value in values]

    found |= {"batch_size": spec["batch_size"], "patch_size": list(spec["patch_size"])}
    architecture |= {
        "n_stages": stages,
        "features_per_stage": list(spec["features"]),
        "kernel_sizes": axes(spec["kernel_sizes"]),
        "strides": axes(spec["strides"]),
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
    }
    return {**plans, "plans_name": PLANS}


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve())


def _decode(folder: Path) -> None:
    """Write the instances of predicted interiors and boundaries, by the way of our bundles."""
    decode = InteriorToInstancesd(keys="pred", grow=GROWN)
    for path in sorted(path for path in folder.glob("*.png") if not path.stem.endswith("_instances")):
        classes = np.asarray(Image.open(path))[None]
        instances = np.asarray(decode({"pred": classes})["pred"])[0].astype(np.uint16)
        Image.fromarray(instances).save(path.with_name(f"{path.stem}_instances.png"))
