"""A record of a run: with what, on what and how it was done."""

from __future__ import annotations

import json
import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.utils import get_seed

from .. import __version__
from ..files import write_text
from ..kernels import used_backends
from ..machine import cpu_model, versions
from ..runs.command import read_command
from .ending import Ending


class RunRecord:
    """Writes ``training.json`` or ``evaluation.json``: seed, overrides, versions, back ends, device and times.

    It is written when the run starts, with the status "running", and again when it ends, with "finished", "failed" and
    the error, or "interrupted". A process that is killed leaves "running". Of many processes the first one writes.

    The overrides are those of the command line of ``monai.bundle run``; ``command`` is null where a bundle is run
    in another way, because nothing is known of them then.

    Args:
        output_dir: folder of the file; made where it is missing.
        name: name of the file without its extension.
    """

    def __init__(self, output_dir: str, name: str) -> None:
        self.path = Path(output_dir) / f"{name}.json"
        self.content: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Register with a trainer or an evaluator."""
        if idist.get_rank() > 0:
            return
        Ending(self._ended).attach(engine)
        engine.add_event_handler(Events.STARTED, self._started)

    def _started(self, engine: Engine) -> None:
        self.content = {"status": "running", "error": "", "started": _now(), "ended": None, **describe(engine)}
        self._write()

    def _ended(self, status: str, error: str) -> None:
        if not self.content or not self.path.is_file():  # never started, or deleted before the process was interrupted
            return
        self.content |= {"status": status, "error": error, "ended": _now(), "backends": used_backends()}
        self._write()

    def _write(self) -> None:
        write_text(self.path, json.dumps(self.content, indent=2, ensure_ascii=False) + "\n")


def describe(engine: Engine) -> dict[str, Any]:
    """What is known of a run before it begins.

    Args:
        engine: MONAI's trainer or evaluator, or any other engine of Ignite.

    Returns:
        Plain values for JSON: ``seed`` (of ``monai.utils.set_determinism``, null where it was not called), ``command``
        (see :func:`components.runs.command.read_command`), ``versions``, ``machine``, ``network``, ``amp``,
        ``processes`` and ``epoch`` (epochs that were done before, in a resumed training).
    """
    network = getattr(engine, "network", None)
    network = getattr(network, "module", network)
    return {
        "seed": get_seed(),
        "command": read_command(),
        "versions": {"components": __version__, **versions()},
        "machine": machine(getattr(engine.state, "device", None)),
        "network": {"name": type(network).__name__, "parameters": sum(p.numel() for p in network.parameters())}
        if isinstance(network, torch.nn.Module)
        else None,
        "amp": bool(getattr(engine, "amp", False)),
        "processes": idist.get_world_size(),
        "epoch": engine.state.epoch,
        "backends": {},
    }


def machine(device: torch.device | str | None = None) -> dict[str, Any]:
    """The machine: operating system, processor, threads, and the device that computes.

    Args:
        device: the device; None for the CPU.
    """
    device = torch.device(device or "cpu")
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "system": platform.platform(),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device.type,
        "gpu": gpu,
        "cuda": torch.version.cuda if gpu else None,
    }


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
