"""Runs bundles as a user does: in processes of their own, from a folder that is not the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests import processes
from tests.timeouts import HANG

ROOT = Path(__file__).resolve().parents[2]
KINDS = ["msvm_acdc", "xlstm_abdomen_mri_3d", "xlstm_cells"]
"""One bundle of each network and number of axes; the others have the same configs, which test_drift.py asserts."""
# The kinds first: pytest orders tests by the places of their parameters, so that a bundle is trained once.
BUNDLES = [*KINDS, *sorted({path.parent.name for path in (ROOT / "bundles").glob("*/configs")} - {*KINDS})]

# Overrides that make a run tiny: of all configs, and of the training. Learning rate and loss stay those of the recipe.
_SLICES = {"roi_size": "[32, 32]"}
SIZES = {
    "msvm_acdc": _SLICES,
    "msvm_synapse": _SLICES,
    "xlstm_abdomen_mri_3d": {"patch_size": "[16, 32, 32]", "pixdim": "[12.0, 6.0, 6.0]"},
    "xlstm_cells": {"patch_size": "[128, 256]"},
    "xlstm_endoscopy": {"patch_size": "[64, 128]"},
    "xlstm_hippocampus_mri_3d": {"patch_size": "[16, 16, 16]", "pixdim": "[2.0, 2.0, 2.0]"},
    "xlstm_nuclei": {"patch_size": "[128, 128]"},
}
TRAINING = {
    bundle: {
        **sizes,
        "batch_size": 2,
        "epoch_length": 2,
        **({"augmented_size": sizes["patch_size"]} if "patch_size" in sizes else {}),
    }
    for bundle, sizes in SIZES.items()
}

TINY = {
    "msvm": {"network_def#features": "[8, 16, 32, 64]", "network_def#depths": "[1, 1, 1, 1]"},
    "xlstm": {
        "network_def#features": "[8, 16, 32]",
        "network_def#kernel_sizes": "[3, 3, 3]",
        "network_def#strides": "[1, 2, 2]",
        "loss#weights": "[0.7, 0.3]",
    },
}
"""Overrides of a training that make the network small, where it is not the network that is tested; by family."""


def configs(bundle: str) -> Path:
    return ROOT / "bundles" / bundle / "configs"


def python(*arguments: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS`` in ``cwd``; its output is in the error that a failure raises."""
    command, environment = [sys.executable, *map(str, arguments)], {**os.environ, **processes.SETTINGS}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=HANG)
    return checked(result) if check else result


def checked(result: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """The result, unless the process failed."""
    if result.returncode:
        words = " ".join(map(str, result.args))
        raise AssertionError(f"{words} failed\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
    return result


def run(
    bundle: str,
    run_id: str,
    config: str,
    work: Path,
    count: int = 1,
    fresh: bool = False,
    check: bool = True,
    **overrides: object,
) -> subprocess.CompletedProcess[str]:
    """Run one id of a config with tiny settings; data, output and checkpoints are in ``work``.

    Args:
        bundle: its name.
        run_id: what is run.
        config: names of configs, joined by "+".
        work: folder in which the command is given, too.
        count: how many processes run together.
        fresh: whether they are started by the very command of the documentation, rather than forked, see
            :mod:`tests.processes`.
        check: whether a status other than 0 is an error.
        overrides: further settings.
    """
    names = [str(configs(bundle) / f"{name}.json") for name in config.split("+")]
    settings = {
        "bundle_root": ROOT / "bundles" / bundle,
        "config_file": names[0] if len(names) == 1 else names,
        "dataset_dir": work / "data",
        "output_dir": work / "output",
        "ckpt_dir": work / "models",
        "num_workers": 0,
        **overrides,
    }
    start = processes.run_fresh if fresh else processes.run
    result = start(runner(run_id, settings), work, count)
    return checked(result) if check else result


def runner(run_id: str, settings: Mapping[str, object]) -> list[str]:
    """The words of ``monai.bundle run`` with these overrides."""
    return [
        "monai.bundle",
        "run",
        run_id,
        *(text for key, value in settings.items() for text in (f"--{key}", str(value))),
    ]
