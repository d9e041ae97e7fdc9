"""``bench``: time and memory of the kernels, the networks and a bundle on this machine."""

from __future__ import annotations

import datetime
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

from components import __version__, machine
from components.files import write_text

from ..bundle.find import bundle_names, find_bundle
from ..data.sample import SAMPLES
from ..errors import UserError
from ..hints import Count, Seed
from ..memory import available, given
from .plan import table as plan_table

if TYPE_CHECKING:
    from .session import Row, Settings


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
    if bundle is not None:
        _check_bundle(bundle, dataset_dir)
    if out is not None:
        check_new(Path(out))

    from .tables import tables
    from .works import GROUPS, OF_BUNDLE, WORKS, checked_settings, choose, listing, measure, of_bundle

    works, groups = {**WORKS}, {**GROUPS}
    if bundle is not None:
        works, groups = {**works, **of_bundle(bundle, dataset_dir)}, {**groups, **OF_BUNDLE}
    if list_:
        print(listing(works, groups))
        return 0
    names = choose(work or (",".join(OF_BUNDLE) if bundle is not None else "kernels,networks"), works, groups)
    settings = checked_settings(repeats, threads, quick, device, seed)
    keep = functools.partial(_write, Path(out), settings) if out is not None else lambda rows: None
    rows = measure({name: works[name] for name in names}, settings, keep)
    for found in tables(rows):
        print(found.text(), end="\n\n")
    if quick:
        print("A quick run with tiny networks and inputs: the numbers are meaningless")
    return int(not any("failed" not in row for row in rows))


def check_new(path: Path) -> None:
    """Refuse to write over another measurement."""
    if path.is_dir():
        raise UserError(f"--out {path} is a folder: give a file")
    if path.exists():
        raise UserError(f"{path} exists already: give another file with --out, or delete it")


def _check_bundle(bundle: str, dataset_dir: str | None) -> None:
    """Raise UserError unless there is the bundle, and a data set for it."""
    name = find_bundle(bundle).name
    if dataset_dir is None and name not in SAMPLES:
        raise UserError(f"there is no sample for {name}: give its data set with --dataset_dir")
    if dataset_dir is not None and not (Path(dataset_dir) / "datalist.json").is_file():
        raise UserError(f"--dataset_dir {dataset_dir}: there is no datalist.json in it")


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
