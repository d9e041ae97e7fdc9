"""What processes that train together send each other in a step, and what that makes of many GPUs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from scripts.bench.child import in_child
from scripts.bench.models import BOT, ENC, MSVM, Subject, run
from scripts.bench.session import Row, Session, Settings
from scripts.errors import reason

CASES = ((MSVM, "slices", 2), (BOT, "mri", 1), (ENC, "mri", 1))
"""Network, plan and batch of a process."""
LINKS = {"10 Gbit/s": 1.25e9, "100 Gbit/s": 12.5e9, "400 Gbit/s": 50e9}
"""Links of a process to the others, in bytes a second."""
COUNTS = (8, 64, 512)


def efficiency(step: float, sent: float, processes: int, link: float) -> float:
    """Speed of many processes over their number times the speed of one, if nothing is sent while the network computes.

    A ring sends 2 (n − 1) / n of the gradients through the link of each of n processes (Patarasu and Yuan, 2009), for
    any n. PyTorch sends most of it while the backward pass still computes, so that this is the lower bound; delays,
    2 (n − 1) of them, are not in it.

    Args:
        step: seconds of a training step of one process.
        sent: bytes that all-reduce takes in a step.
        processes: n.
        link: bytes a second.

    Example:
        >>> efficiency(1.0, 1e9, 2, 1e9)
        0.5
    """
    return step / (step + 2 * (processes - 1) / processes * sent / link)


def measure(session: Session) -> Iterator[Row]:
    """Bytes that a step gives to all-reduce, and the step's time without any other process."""
    settings = session.settings
    for name, plan_name, batch in CASES:
        case = f"training step, batch of {batch} a process"
        row: Row = {"case": case, "name": name, "ours": True}
        session.tell(f"{name}, bytes of a step")
        try:
            row |= in_child(sent, name, plan_name, batch, settings, settings=settings)
            network, x = Subject(name, plan_name, batch).make(settings)
            runs = {name: run(network, x, "training")}
        except Exception as error:  # too little memory
            yield {**row, "failed": reason(error)}
            continue
        yield from session.timed({name: row}, runs, case, rounds=settings.size(min(3, settings.repeats), 1))


def sent(name: str, plan_name: str, batch: int, settings: Settings) -> dict[str, int]:
    """Count in a group of one process what DistributedDataParallel gives to its exchange of gradients and buffers.

    Returns:
        ``gradient_bytes``, all-reduced in each step, and ``buffer_bytes``, sent by the first process in each step.
    """
    network, x = Subject(name, plan_name, batch).make(settings)
    counted = [0]

    def count(state, bucket):  # noqa: ANN001, ANN202 - PyTorch refuses annotations that are text
        state[0] += bucket.buffer().nbytes
        done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"init_method": (Path(folder) / "store").as_uri(), "rank": 0, "world_size": 1}
        dist.init_process_group("gloo", **options)
        try:
            parallel = DistributedDataParallel(network)
            parallel.register_comm_hook(counted, count)
            run(parallel, x, "training")()
        finally:
            dist.destroy_process_group()
    return {"gradient_bytes": counted[0], "buffer_bytes": sum(buffer.nbytes for buffer in network.buffers())}
