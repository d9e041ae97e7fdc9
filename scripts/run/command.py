"""``run``: MONAI's command for a bundle, printed and executed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from components.files import read_json
from components.validation import check_choice

from ..bundle.find import INSTALLED, ROOT, find_bundle
from ..errors import UserError
from ..hints import Count, separated
from .cross_validation import Plan, evaluate_folds, train_folds
from .monai_command import CONFIGS, from_here, monai_command, typed


def run(
    run_id: str,
    bundle: str,
    dataset_dir: str | None = None,
    config: str | None = None,
    nproc: Count = 1,
    folds: str | None = None,
    **overrides: str | None,
) -> int:
    """Print and execute MONAI's command for a bundle; you can also type what is printed.

    Args:
        run_id: training, evaluating or inferring.
        bundle: name or folder of the bundle.
        dataset_dir: the data set; by default the folder data of the bundle.
        config: further configs of the bundle that change the first, separated by commas: demo, overfit, adamw, 2d,
            tensorboard, tracking (MLflow).
        nproc: processes, one for each GPU, started by torchrun with the bundle's multi_gpu config.
        folds: for training, the folds to train: all, or numbers such as 0,2. They are trained one after another, each
            from where it stopped and in its own folder (fold_0, …), and scored on the cases that they have not seen;
            evaluating with --fold all scores them again. For evaluating and inferring, the folds whose networks are
            used together: their probabilities are averaged.
        overrides: any value of the config, for example --max_epochs 10 or --network_def#variant enc; as for
            MONAI's command. Outputs go to --output_dir and weights to --ckpt_dir: by default folders of the bundle, or
            for an installed bundle folders below NAME in the current folder.

    Returns:
        The exit status of the command.

    Example:
        scanseg run training msvm_acdc --dataset_dir data --output_dir output --max_epochs 10
    """
    check_choice("id to run", run_id, CONFIGS)
    root = find_bundle(bundle, CONFIGS[run_id], "bundle")

    def words(wanted: str, overrides: Mapping[str, str | None]) -> list[str]:
        further = config if wanted == run_id else _of_both(root, config, CONFIGS[wanted])
        found = _words(wanted, root, further, nproc, dataset_dir, overrides)
        print(typed(["python", *found]), flush=True)
        return found

    plan = Plan(root, dataset_dir, {**_places(root, run_id, overrides), **overrides}, words)
    if run_id == "training" and folds is not None:
        return train_folds(plan, folds)
    if run_id == "evaluating" and (fold := overrides.get("fold")) and not fold.strip().isdigit():
        return evaluate_folds(plan, fold)
    command = [sys.executable, *words(run_id, {**plan.settings, **({} if folds is None else {"folds": folds})})]
    if os.name != "posix":
        return subprocess.run(command, check=False).returncode
    # This process becomes the run, so that signals and the exit status are those of the run.
    os.execv(sys.executable, command)  # noqa: S606 - no shell


def _words(
    run_id: str,
    root: Path,
    config: str | None,
    nproc: int,
    dataset_dir: str | None,
    overrides: Mapping[str, str | None],
) -> list[str]:
    """Words after ``python`` of a run."""
    more, settings = _further(root, config)
    if nproc > 1:
        more.append(_multi_gpu(root, run_id))
    settings = {**overrides, **settings}
    if dataset_dir is not None:
        settings = {"dataset_dir": dataset_dir, **settings}
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={nproc}"] if nproc > 1 else []
    return [*launcher, *monai_command(run_id, root, more, settings)]


def _names(config: str | None) -> list[str]:
    """Further configs, without the ending."""
    return [word.removesuffix(".json") for word in separated(config or "")]


def _of_both(root: Path, config: str | None, file: str) -> str:
    """Those of the further configs of a training that change what another config has, too, such as the network."""
    known = read_json(root / "configs" / file).keys() - {"train", "validate"}
    found = []
    for name in _names(config):
        path = root / "configs" / f"{name}.json"
        keys = {key.lstrip("+").partition("#")[0] for key in read_json(path)} if path.is_file() else set()
        if keys & known and not keys & {"train", "validate"}:
            found.append(name)
    return ",".join(found)


def _further(root: Path, config: str | None) -> tuple[list[str], dict[str, str]]:
    """File names of further configs, and the setting for the one of MLflow, which MONAI wants apart from them."""
    there = sorted(path.stem for path in (root / "configs").glob("*.json"))
    files, settings = [], {}
    for name in _names(config):
        check_choice(f"config of {root.name}", name, there)
        if "handlers_id" in read_json(root / "configs" / f"{name}.json"):
            settings["tracking"] = str(from_here(root / "configs" / f"{name}.json"))
        else:
            files.append(f"{name}.json")
    return files, settings


def _multi_gpu(root: Path, run_id: str) -> str:
    name = f"multi_gpu_{CONFIGS[run_id]}"
    if not (root / "configs" / name).is_file():
        hint = "; `torchrun … -m scanseg predict` shares images between processes" if run_id == "inferring" else ""
        raise UserError(f"{root.name} has no configs/{name}: {run_id} takes one process{hint}")
    return name


def _places(root: Path, run_id: str, given: Mapping[str, object]) -> dict[str, str]:
    """Folders for what a bundle of the installation makes: nothing is written into the installation."""
    if not (INSTALLED and root.is_relative_to(ROOT)):
        return {}
    here = Path(root.name)
    fold = str(given.get("fold") or "")
    own = [f"fold_{fold}"] if fold.isdigit() else []
    places = {"output_dir": here.joinpath("output", *own)}
    trained = any((here / "models").glob("**/model.pt"))
    if run_id == "training" or trained or not (root / "models" / "model.pt").is_file():
        places["ckpt_dir"] = here.joinpath("models", *own)
    return {name: str(path) for name, path in places.items() if name not in given}
