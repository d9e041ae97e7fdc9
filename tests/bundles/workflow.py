"""Runs bundles as a user does: in a process of their own, from a folder that is not the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

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


def configs(bundle: str) -> Path:
    return ROOT / "bundles" / bundle / "configs"


def python(*arguments: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS`` in ``cwd``; its output is in the error that a failure raises."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=HANG)
    if check and result.returncode:
        raise AssertionError(f"{' '.join(command)} failed\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
    return result


def run(
    bundle: str, run_id: str, config: str, work: Path, *launcher: str, check: bool = True, **overrides: object
) -> subprocess.CompletedProcess[str]:
    """Run one id of a config with tiny settings; data, output and checkpoints are in ``work``."""
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
    return python(*launcher, "-m", *runner(run_id, settings), cwd=work, check=check)


def runner(run_id: str, settings: Mapping[str, object]) -> list[str]:
    """The words of ``monai.bundle run`` with these overrides."""
    return [
        "monai.bundle",
        "run",
        run_id,
        *(text for key, value in settings.items() for text in (f"--{key}", str(value))),
    ]
