"""``python -m benchmarks rivals``: train our networks and their rivals with one budget, and compare them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from components import __version__, machine
from components.files import read_json, write_text
from scripts.bundle.find import ROOT, find_bundle
from scripts.errors import UserError, reason
from scripts.hints import Count, From, check_arguments, separated
from scripts.new.command import new
from scripts.new.short import SLICES

from . import nnunet as own
from .networks import DEFAULT, NNUNET, Json, override, rival
from .page import show, write_docs
from .record import check_same, complete, finished, gather, recorded
from .schedule import EPOCHS
from .scores import score_cases
from .speed import convolution_rate

BASES = {"xlstm": {False: "xlstm_abdomen_mri_3d", True: "xlstm_cells"}, "msvm": {False: "msvm_acdc"}}
"""Bundles that are made new for the data, by base and whether the labels number objects."""
Iterations = Annotated[int, From(4)]


def rivals(
    out: str = "",
    data: str = "",
    iterations: Iterations = 10_000,
    cpu_seconds: float = 2700.0,
    networks: str | Sequence[str] = DEFAULT,
    seeds: Count = 2,
    nnunet: str = "",
    bundle: str = "",
    instances: bool = False,
    batch_size: Count | None = None,
    validations: Count = 4,
    validation_cases: Count | None = None,
    threads: Count = 1,
    record: str = "",
    docs: str = "",
    from_json: str | Sequence[str] = "",
) -> None:
    """Train networks on one data set with one budget each, predict the test cases, and compare the scores.

    All but nnU-Net are trained in our pipeline: the same division, sampler, augmentation, loss (with deep supervision
    where the network has it), batch and inference. A few iterations are tried first; the training then has as many as
    fit into both budgets, and its learning rate falls to its end. After an interruption the same command continues.

    Args:
        out: folder for all that is made; outside of the repository.
        data: data set in nnU-Net's raw layout, or folders images and labels.
        iterations: at most, of each training.
        cpu_seconds: at most, for the steps of each training with the loading of their data, over all threads.
        networks: with commas between them: bot, enc, msvm, dynunet, segresnet, swinunetr, nnunet; with +short behind a
            name AdamW in one cycle instead of the optimiser of its authors.
        seeds: how many trainings of each network; all networks have the first one before any has the second.
        nnunet: Python of the environment with nnU-Net, see benchmarks/nnunet/environment.sh.
        bundle: an xlstm bundle whose plan is taken, by name or folder; by default new makes one for the data.
        instances: whether the labels number objects.
        batch_size: of all trainings but that of MSVM-UNet, which takes 8 slices, where it is not that of the plan.
        validations: how often each training is validated.
        validation_cases: so many of the validation cases are used; by default all.
        threads: CPU threads.
        record: JSON file of the comparison, by default rivals.json in --out. Trainings that it holds are not done
            again, so that a comparison can be continued on another machine.
        docs: Markdown file to write as a page of the documentation, with its pictures beside it.
        from_json: rivals.json of earlier comparisons, with commas between them, to write the page of without training.
    """
    check_arguments(rivals, locals())
    if from_json:
        records = [read_json(Path(name)) for name in separated(from_json)]
    else:
        names = separated(networks)
        for name in names:
            rival(name)
        if not (data and out):
            raise UserError("--data and --out are needed: the data set, and a folder for what is made")
        if cpu_seconds <= 0:
            raise UserError(f"--cpu_seconds needs a number above 0, not {cpu_seconds!r}")
        if NNUNET in names:
            own.check(nnunet)
        folder = Path(out).resolve()
        settings = {
            "data": str(Path(data).resolve()),
            "iterations": iterations,
            "cpu_seconds": float(cpu_seconds),
            "validations": validations,
            "validation_cases": validation_cases,
            "threads": threads,
            "batch_size": batch_size,
            "bundle": bundle,
            "instances": instances,
        }
        _check_settings(folder, settings)
        path = Path(record) if record else folder / "rivals.json"
        records = [_run(folder, settings, names, seeds, nnunet, path, Path(docs) if docs else None)]
    for found in records:
        show(found)
    if docs:
        write_docs(records, Path(docs))
        print(f"{docs} is written")
    if any(row["failed"] for found in records for row in found["runs"]):
        sys.exit(1)


def _run(
    folder: Path, settings: Json, names: Sequence[str], seeds: int, python: str, path: Path, docs: Path | None
) -> Json:
    record: Json = {}
    earlier = read_json(path) if path.is_file() else None
    if earlier:
        check_same(recorded(settings), earlier["settings"], path)
    known = finished(earlier)
    for seed in range(seeds):
        for name in names:
            bundles = _bundles(folder, settings, rival(name).base)
            place = folder / name / f"seed{seed}"
            if (name, seed) not in known and not complete(place):
                print(f"{name}, seed {seed}: {place}", flush=True)
                _one(place, _spec(place, name, seed, settings, bundles), python)
            record = gather(folder, settings, _about(settings, bundles), earlier)
            write_text(path, json.dumps(record, indent=1) + "\n")
            if docs is not None:
                write_docs([record], docs)
    return record


def _one(place: Path, spec: Json, python: str) -> None:
    """Train, predict and score a network; a failure is noted, and does not stop the others."""
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / "spec.json", json.dumps(spec, indent=1) + "\n")
    write_text(place / "speed.json", json.dumps({"convolution_rate": convolution_rate()}))
    (place / "failed.json").unlink(missing_ok=True)
    threads = {f"{name}_NUM_THREADS": str(spec["threads"]) for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    try:
        with (place / "log.txt").open("a", encoding="utf-8") as log:
            if spec["network"] == NNUNET:
                own.train_and_predict(place, spec, python, log)
            else:
                words = [sys.executable, "-m", "benchmarks.rivals.training", str(place)]
                done = subprocess.run(
                    words, cwd=ROOT, env={**os.environ, **threads}, stdout=log, stderr=log, check=False
                )
                if done.returncode:
                    raise UserError(f"the training ended with status {done.returncode}: see {log.name}")
        predictions = Path(read_json(place / "predictions.json")["folder"])
        rows = score_cases(Path(spec["truth_dir"]), predictions, spec["instances"])
        write_text(place / "scores.json", json.dumps(rows))
    except Exception as error:
        write_text(place / "failed.json", json.dumps({"reason": reason(error)}))
        print(f"{spec['network']}: {reason(error)}", flush=True)


def _spec(place: Path, name: str, seed: int, settings: Json, bundles: dict[str, Path]) -> Json:
    """The settings for the process that trains a network."""
    base = rival(name).base
    plan = read_json(bundles["xlstm"] / "configs" / "train.json")
    data = {kind: _dataset_dir(bundles, kind) for kind in bundles if kind != "made"}
    truth = data["xlstm"]
    spec = {
        "network": name,
        "seed": seed,
        "folder": str(place),
        "truth_dir": str(truth),
        "dataset_dir": str(data.get(base, truth)),
        "bundle": str(bundles.get(base, bundles["xlstm"])),
        **{key: settings[key] for key in settings if key not in ("data", "bundle")},
        "epochs": EPOCHS,
    }
    if base == "msvm":  # slices are small, and its recipe's batch is larger than a short training can take
        spec["batch_size"] = SLICES
    if base == NNUNET:
        validation = len(read_json(truth / "datalist.json")["validation"])
        stages = {key: plan["network_def"][key] for key in ("features", "kernel_sizes", "strides")}
        spec |= {
            **stages,
            "patch_size": plan["patch_size"],
            "batch_size": settings["batch_size"] or plan["batch_size"],
            "validation_cases": settings["validation_cases"] or validation,
        }
    return spec


def _bundles(folder: Path, settings: Json, needed: str) -> dict[str, Path]:
    """The bundles by base, made where they are missing; "made" is the one whose data folder the networks share."""
    found: dict[str, Path] = {}
    for base, kinds in BASES.items():
        if base not in ("xlstm", needed):
            continue
        if settings["instances"] not in kinds:
            raise UserError(f"{base} has no bundle for objects: leave it out of --networks")
        made = folder / "bundles" / f"rivals_{base}"
        if not made.is_dir():
            new(made.name, kinds[settings["instances"]], settings["data"], str(made.parent))
        found[base] = made
    found["made"] = found["xlstm"]
    if settings["bundle"]:
        found["xlstm"] = find_bundle(settings["bundle"], "train.json", "--bundle").resolve()
    return found


def _dataset_dir(bundles: dict[str, Path], base: str) -> Path:
    return (bundles["made"] if base == "xlstm" else bundles[base]) / "data"


def _about(settings: Json, bundles: dict[str, Path]) -> Json:
    """What the page says of the comparison."""
    dataset = bundles["made"] / "data"
    plan = read_json(bundles["xlstm"] / "configs" / "train.json")
    return {
        "name": Path(settings["data"]).name,
        "cases": {part: len(items) for part, items in read_json(dataset / "datalist.json").items()},
        "patch_size": plan["patch_size"],
        "features": plan["network_def"]["features"],
        "batch_size": settings["batch_size"] or plan["batch_size"],
        "mixed": bool(override("bot", plan)["amp"]),
        "cpus": [machine.cpu_model()],
        "versions": {"scanseg": __version__, **machine.versions(("torch", "monai", "numpy"))},
    }


def _check_settings(folder: Path, settings: Json) -> None:
    """Refuse to mix trainings with different settings in one folder."""
    if folder.is_relative_to(ROOT):
        raise UserError(f"--out {folder} is in the repository: choose a folder outside of it")
    path = folder / "settings.json"
    if path.is_file():
        check_same(settings, read_json(path), folder)
    write_text(path, json.dumps(settings, indent=1) + "\n")
