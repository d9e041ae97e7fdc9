"""``bench``: time and memory of the kernels, the networks and a bundle on this machine."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from components import __version__, machine
from components.files import write_text

from ..bundle.find import bundle_names, find_bundle
from ..data.sample import SAMPLES
from ..errors import UserError
from ..hints import Count, Seed
from ..memory import available, given
from ..predict.predictor import checked_device
from . import bundle as training
from . import image
from .bundles import config
from .plan import table as plan_table
from .session import Row, Session, Settings
from .tables import tables
from .works import GROUPS, WORKS, Work, choose, listing, measure

REPEATS, QUICK_REPEATS = 7, 2
OF_BUNDLE = {
    "data": "samples a second, and the share of a training's loop that waits for data",
    "epoch": "an epoch of monai.bundle run training",
    "image": "the first test image through the bundle's inferer",
}


def bench(
    work: str | None = None,
    bundle: str | None = None,
    dataset_dir: str | None = None,
    repeats: Count | None = None,
    threads: Count | None = None,
    out: str | None = None,
    quick: bool = False,
    device: str = "cpu",
    seed: Seed = 0,
    plan: bool = False,
    memory: float | None = None,
    list_: bool = False,
) -> int:
    """Time the kernels, the networks or a bundle on this machine, and measure their memory.

    Alternatives run in turns in one process after a warm-up, so a drift in the machine's speed affects all alike; times
    are medians. Memory peaks are measured in fresh processes. What cannot run here is listed with the reason. Measure
    on an otherwise idle machine.

    Args:
        work: all, groups (kernels, networks, memory; with --bundle also data, epoch, image) or single works, with
            commas between; --list names them. By default kernels and networks, or what belongs to the bundle.
        bundle: name or folder of a bundle to measure.
        dataset_dir: its data set; by default the sample, if the bundle has one.
        repeats: timed runs of each alternative; 7 by default, 2 with --quick.
        threads: CPU threads; by default as many as PyTorch uses.
        out: JSON file for all raw times.
        quick: tiny networks and inputs, to see that everything runs; the numbers are meaningless.
        device: cpu, cuda, or another accelerator that PyTorch finds here (mps, xpu).
        seed: of inputs and weights.
        plan: only show which batches of the bundles fit into the memory.
        memory: GiB to plan for; by default the memory of this machine.
        list_: only list what there is to measure.

    Returns:
        0, or 1 where nothing could be measured.

    Example:
        scanseg bench --bundle msvm_acdc
    """
    if memory is not None and not plan:
        raise UserError("--memory goes with --plan")
    if dataset_dir is not None and bundle is None:
        raise UserError("--dataset_dir goes with --bundle")
    if plan:
        bundles = [bundle] if bundle is not None else bundle_names("train.json")
        print(plan_table(available() if memory is None else given(memory), bundles).text())
        return 0
    works, groups = {**WORKS}, {**GROUPS}
    if bundle is not None:
        works, groups = {**works, **_of_bundle(bundle, dataset_dir)}, {**groups, **OF_BUNDLE}
    if list_:
        print(listing(works, groups))
        return 0
    names = choose(work or (",".join(OF_BUNDLE) if bundle is not None else "kernels,networks"), works, groups)
    settings = checked_settings(repeats, threads, quick, device, seed)
    if out is not None:
        check_new(Path(out))
    keep = functools.partial(_write, Path(out), settings) if out is not None else lambda rows: None
    rows = measure({name: works[name] for name in names}, settings, keep)
    for found in tables(rows):
        print(found.text(), end="\n\n")
    if quick:
        print("A quick run with tiny networks and inputs: the numbers are meaningless")
    return int(not any("failed" not in row for row in rows))


def checked_settings(
    repeats: int | None, threads: int | None, quick: bool, device: str, seed: int, weights: str | None = None
) -> Settings:
    """Settings from the arguments of a command.

    Raises:
        UserError: if the device is not known or is not there.
    """
    repeats = repeats if repeats is not None else QUICK_REPEATS if quick else REPEATS
    threads = threads if threads is not None else torch.get_num_threads()
    device = device if device == machine.accelerator() else checked_device(device).type  # such as mps
    return Settings(seed, bool(quick), device, repeats, threads, weights)


def check_new(path: Path) -> None:
    """Refuse to write over another measurement."""
    if path.is_dir():
        raise UserError(f"--out {path} is a folder: give a file")
    if path.exists():
        raise UserError(f"{path} exists already: give another file with --out, or delete it")


def _of_bundle(bundle: str, dataset_dir: str | None) -> Mapping[str, Work]:
    root, content = config(bundle)
    if dataset_dir is None and root.name not in SAMPLES:
        raise UserError(f"there is no sample for {root.name}: give its data set with --dataset_dir")
    if dataset_dir is not None and not (Path(dataset_dir) / "datalist.json").is_file():
        raise UserError(f"--dataset_dir {dataset_dir}: there is no datalist.json in it")
    name = str(find_bundle(bundle))

    def folder(session: Session) -> Callable[[], Path]:
        return lambda: Path(dataset_dir) if dataset_dir is not None else session.sample(root.name)

    def values(session: Session) -> dict[str, Any]:
        return training.short_training(content, session.settings)

    return {
        f"data/{root.name}": Work("its data", lambda s: training.measure_data(s, name, folder(s), values(s))),
        f"epoch/{root.name}": Work("an epoch", lambda s: training.measure_epoch(s, name, folder(s), values(s))),
        f"image/{root.name}": Work("an image", lambda s: image.measure(s, name, folder(s))),
    }


def _write(path: Path, settings: Settings, rows: list[Row]) -> None:
    """Write what is measured so far."""
    record = {
        "date": datetime.date.today().isoformat(),
        "machine": {
            "cpu": machine.cpu_model(),
            "cores": machine.cores(),
            "memory_bytes": machine.memory_bytes(),
            "device": settings.device,
        },
        "versions": {"scanseg": __version__, **machine.versions()},
        "settings": {key: getattr(settings, key) for key in ("repeats", "threads", "seed", "quick")},
        "rows": rows,
    }
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
