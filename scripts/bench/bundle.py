"""A training of a bundle: how fast data come, how long the loop waits for them, an epoch."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import monai.bundle
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow

from components.runs.allocator import keep_freed_memory

from ..errors import reason
from ..memory import available, bundle_gib
from .bundles import config
from .child import in_child, peak_bytes
from .guard import shared_bytes
from .session import Row, Session, Settings

ITERATIONS = 10
"""Of a measured training; the workers of the loader have prepared the first few while the network was made."""


def short_training(content: Mapping[str, Any], settings: Settings, iterations: int = ITERATIONS) -> dict[str, Any]:
    """Overrides of train.json for a short training.

    Args:
        content: train.json.
        settings: how to measure.
        iterations: of the epoch, where the recipe draws as many as one asks for; else an epoch is all cases.
    """
    return {
        "max_epochs": 1,
        **({"epoch_length": iterations} if content["epoch_length"] is not None else {}),
        "seed": settings.seed,
        "device": f"$torch.device('{settings.device}')",
        "amp": settings.device == "cuda" and content["amp"] is not False,
    }


def measure_data(
    session: Session, bundle: str, dataset_dir: Callable[[], Path], values: Mapping[str, Any]
) -> Iterator[Row]:
    """The data of a training: samples a second, the share of the loop that waits, the memory, by kind of cache.

    Args:
        session: how to measure.
        bundle: its name or folder.
        dataset_dir: makes or finds the data set.
        values: overrides of the training.
    """
    _, content = config(bundle)
    caches: dict[str, dict[str, Any]] = {"cache_rate 0": {"cache_rate": 0.0}, "cache_rate 1": {"cache_rate": 1.0}}
    if "cache_dir" in content:
        caches["persistent cache"] = {"cache_dir": str(session.folder / "cache" / Path(bundle).name)}
    for name, cache in caches.items():
        yield from _guarded(session, bundle, dataset_dir, name, {**values, **cache}, train)


def measure_epoch(
    session: Session, bundle: str, dataset_dir: Callable[[], Path], values: Mapping[str, Any]
) -> Iterator[Row]:
    """One epoch by ``monai.bundle run training``: its time with everything around it, and its peak memory."""
    yield from _guarded(session, bundle, dataset_dir, "epoch", values, epoch)


def _guarded(
    session: Session,
    bundle: str,
    dataset_dir: Callable[[], Path],
    name: str,
    values: Mapping[str, Any],
    function: Callable[..., Row],
) -> Iterator[Row]:
    """Run a training in a process of its own if it fits into the memory."""
    session.tell(f"{bundle}, {name}")
    row: Row = {"case": Path(bundle).name, "name": name, "overrides": dict(values)}
    _, content = config(bundle, values)
    needed, free = bundle_gib(content, content["batch_size"], content["amp"]), available()
    row["batch"] = content["batch_size"]
    try:
        if needed > free.gib:
            raise MemoryError
        dataset = dataset_dir()
        with tempfile.TemporaryDirectory(dir=session.folder) as folder:
            yield {**row, **in_child(function, bundle, str(dataset), folder, values, settings=session.settings)}
    except MemoryError:
        yield {**row, "failed": f"about {needed:.1f} GiB are needed; {free}"}
    except Exception as error:  # a training that cannot run is reported, and the others continue
        yield {**row, "failed": reason(error)}


class Clock:
    """Times of the parts of each iteration of a trainer, and the memory at its end.

    Args:
        trainer: the engine.
    """

    def __init__(self, trainer: Engine) -> None:
        self.waits: list[float] = []
        self.steps: list[float] = []
        self.memory: list[int] = []
        self._begin = 0.0
        trainer.add_event_handler(Events.GET_BATCH_STARTED, self._start)
        trainer.add_event_handler(Events.GET_BATCH_COMPLETED, lambda: self.waits.append(self._passed()))
        trainer.add_event_handler(Events.ITERATION_STARTED, self._start)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._iteration)

    def _start(self) -> None:
        self._begin = time.perf_counter()

    def _passed(self) -> float:
        return time.perf_counter() - self._begin

    def _iteration(self) -> None:
        self.steps.append(self._passed())
        processes = (os.getpid(), *(child.pid for child in multiprocessing.active_children()))
        parts = [shared_bytes(process) for process in processes]
        self.memory.append(sum(part for part in parts if part is not None))


def train(bundle: str, dataset_dir: str, folder: str, values: Mapping[str, Any]) -> Row:
    """Train a bundle for an epoch and look at its data; in a process of its own.

    Args:
        bundle: its name.
        dataset_dir: the data set.
        folder: for outputs and checkpoints.
        values: overrides.

    Returns:
        ``samples`` and their ``sample_seconds`` (loader alone, after each worker's first batch), ``cache_seconds`` and
        ``first_batch_seconds`` before it; of the training's loop the ``wait_seconds`` and ``step_seconds`` of each
        iteration, and the peak memory of the process with the loader's workers, ``memory_bytes``.
    """
    keep_freed_memory()  # as every run does
    root, _ = config(bundle)
    workflow = ConfigWorkflow(
        workflow_type="train",
        run_id="training",
        logging_file=False,
        config_file=str(root / "configs" / "train.json"),
        meta_file=str(root / "configs" / "metadata.json"),
        bundle_root=str(root),
        **_places(dataset_dir, folder),
        **values,
    )
    workflow.initialize()
    parser = workflow.parser
    begin = time.perf_counter()
    loader = parser.get_parsed_content("train#dataloader")
    if values.get("cache_dir"):
        for _ in loader:  # fills the cache
            pass
    prepared = time.perf_counter() - begin
    begin = time.perf_counter()
    times, counts = [], []
    for _, batch in zip(range(ITERATIONS), loader, strict=False):
        times.append(time.perf_counter() - begin)
        counts.append(len(batch["image"]))
    clock = Clock(parser.get_parsed_content("train#trainer"))
    workflow.run()
    return {
        "cases": len(loader.dataset.data),
        "cache_seconds": prepared,
        "workers": loader.num_workers,
        "first_batch_seconds": times[0],
        "samples": sum(counts[max(1, loader.num_workers) :]),  # with the first batch, each worker has one ready
        "sample_seconds": times[-1] - times[0],
        "wait_seconds": clock.waits[: len(clock.steps)],
        "step_seconds": clock.steps,
        "memory_bytes": max(clock.memory) or None,
    }


def epoch(bundle: str, dataset_dir: str, folder: str, values: Mapping[str, Any]) -> Row:
    """What ``python -m monai.bundle run training`` does, for one epoch; in a process of its own.

    Returns:
        ``seconds`` of the whole run, as a list of one, and the ``peak_bytes`` of the process.
    """
    keep_freed_memory()
    root, _ = config(bundle)
    begin = time.perf_counter()
    monai.bundle.run(
        "training",
        config_file=str(root / "configs" / "train.json"),
        meta_file=str(root / "configs" / "metadata.json"),
        logging_file=str(root / "configs" / "logging.conf"),
        bundle_root=str(root),
        **_places(dataset_dir, folder),
        **values,
    )
    return {"seconds": [time.perf_counter() - begin], "peak_bytes": peak_bytes()}


def _places(dataset_dir: str, folder: str) -> dict[str, str]:
    path = Path(folder)
    return {"dataset_dir": dataset_dir, "output_dir": str(path / "output"), "ckpt_dir": str(path / "models")}
