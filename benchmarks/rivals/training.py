"""Training and prediction of one network of our pipeline, in a process of its own.

``python -m benchmarks.rivals.training FOLDER`` reads ``spec.json`` in the folder and continues where an earlier process
was ended.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from components.files import read_json, write_text
from components.runs.allocator import keep_freed_memory
from scripts.bench.child import peak_bytes
from scripts.new.short import ema_momentum

from .clock import read_clock
from .networks import Json, override, parameters
from .schedule import schedule

TRIED = 4
"""Iterations that are run to see how long one takes; the first is slower and does not count."""


def main(folder: Path) -> None:
    """Do what is left to be done in the folder of a network."""
    spec = read_json(folder / "spec.json")
    keep_freed_memory()
    bundle = Path(spec["bundle"])
    content = read_json(bundle / "configs" / "train.json")
    values = override(spec["network"], content)
    write_text(folder / "override.json", json.dumps(values, indent=4) + "\n")
    common = {"dataset_dir": spec["dataset_dir"], "bundle_root": str(bundle), "num_workers": 0}
    if not (folder / "schedule.json").is_file():
        write_text(folder / "schedule.json", json.dumps(_planned(folder, spec, content, common)))
    _train(folder, spec, content, common)
    if not (folder / "predictions.json").is_file():
        shutil.rmtree(folder / "output" / "predictions", ignore_errors=True)
        places = {"output_dir": str(folder / "output"), "ckpt_dir": str(folder / "models")}
        _run("inference", "inferring", folder, {**common, **places, "amp": False})
        write_text(folder / "predictions.json", json.dumps({"folder": str(folder / "output" / "predictions")}))


def _planned(folder: Path, spec: Json, content: Json, common: Json) -> Json:
    """Try a few iterations on a few cases."""
    path = folder / "tried.json"
    path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        settings = {
            **common,
            "output_dir": f"{work}/output",
            "ckpt_dir": f"{work}/models",
            "max_epochs": 1,
            "epoch_length": TRIED,
            "seed": spec["seed"],
            "train#dataset#data": items(content, "train", 4 * content["batch_size"]),
            "validate#dataset#data": items(content, "validate", 0),
            "train#handlers": _handlers(content, path),
            **_batch(spec),
        }
        _run("train", "training", folder, settings)
    step = statistics.median(read_clock(path)["steps"][1:])
    return schedule(step, spec["iterations"], spec["cpu_seconds"])


def _train(folder: Path, spec: Json, content: Json, common: Json) -> None:
    planned = read_json(folder / "schedule.json")
    epochs, length = planned["epochs"], planned["length"]
    settings = {
        **common,
        "output_dir": str(folder / "output"),
        "ckpt_dir": str(folder / "models"),
        "max_epochs": epochs,
        "epoch_length": length,
        "val_interval": max(1, epochs // spec["validations"]),
        "ema_momentum": ema_momentum(epochs * length),
        "seed": spec["seed"],
        "cache_rate": 1.0,
        "resume": "auto",
        "validate#dataset#data": items(content, "validate", spec["validation_cases"]),
        "train#handlers": _handlers(content, folder / "clock.json"),
        **_batch(spec),
    }
    workflow = _run("train", "training", folder, settings)
    record = read_json(folder / "training.json") if (folder / "training.json").is_file() else {"peak_bytes": 0}
    record["peak_bytes"] = max(record["peak_bytes"] or 0, peak_bytes() or 0)
    record["parameters"] = parameters(workflow.parser.get_parsed_content("network_def"))
    write_text(folder / "training.json", json.dumps(record))


def _batch(spec: Json) -> Json:
    return {} if spec["batch_size"] is None else {"batch_size": spec["batch_size"]}


def first(found: Sequence[Json], number: int) -> list[Json]:
    """The first items of a list, for a config."""
    return list(found[:number])


def items(content: Json, part: str, number: int | None = None) -> Any:
    """The items of a dataset of a bundle, cut to the first ones."""
    found = content[part]["dataset"]["data"]
    if number is None:
        return found
    return {"_target_": "benchmarks.rivals.training.first", "found": found, "number": number}


def _handlers(content: Json, path: Path) -> list[Any]:
    clock = {"_target_": "benchmarks.rivals.clock.Clock", "path": str(path), "evaluator": "@validate#evaluator"}
    return [*content["train"]["handlers"], clock]


def _run(kind: str, run_id: str, folder: Path, settings: Json) -> ConfigWorkflow:
    """What ``python -m monai.bundle run`` does, in this process."""
    configs = Path(settings["bundle_root"]) / "configs"
    workflow = ConfigWorkflow(
        workflow_type=kind,
        run_id=run_id,
        logging_file=False,
        config_file=[str(configs / f"{kind}.json"), str(folder / "override.json")],
        meta_file=str(configs / "metadata.json"),
        **settings,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


if __name__ == "__main__":
    main(Path(sys.argv[1]))
