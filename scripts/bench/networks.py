"""Whole networks beside MONAI's: forward pass, training step, peak memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ..errors import reason
from . import operations
from .child import in_child, peak_bytes
from .models import BOT, ENC, MSVM, OURS, PEERS, make, plan, prepare, run
from .session import Row, Session, Settings

COMPILED, EAGER = "torch.compile", "eager"
TITLES = {"inference": "forward", "training": "training step"}


def measure_msvm(session: Session) -> Iterator[Row]:
    """MSVM-UNet and peers on slices."""
    for mode in ("inference", "training"):
        for batch in session.settings.size((1, 2), (1,)):
            yield from compare(session, "slices", (MSVM, *PEERS), mode, batch)


def measure_mri(session: Session) -> Iterator[Row]:
    """xLSTM-UNet Bot and Enc and peers on patches of the MRI plan."""
    for mode in ("inference", "training"):
        yield from compare(session, "mri", (BOT, ENC, *PEERS), mode, 1)


def measure_endoscopy(session: Session) -> Iterator[Row]:
    """xLSTM-UNet Bot and Enc and peers on pictures: the endoscopy plan at half its size."""
    size = session.settings.size((192, 320), None)
    yield from compare(session, "endoscopy", (BOT, ENC, *PEERS), "inference", 1, size)


def measure_compile(session: Session) -> Iterator[Row]:
    """Our networks as they are and compiled by torch.compile, which needs a C++ compiler on a CPU."""
    settings = session.settings
    for name, plan_name, size in ((MSVM, "slices", None), (BOT, "mri", settings.size((24, 96, 128), None))):
        shape = plan(plan_name, settings.quick).input(1, size)
        case = f"{name}, forward, {' × '.join(map(str, shape))}"
        rows: dict[str, Row] = {
            kind: {"case": case, "name": kind, "ours": kind == COMPILED} for kind in (COMPILED, EAGER)
        }
        network, x = make(name, plan_name, 1, size, settings)
        compiled = torch.compile(network, backend=settings.size("inductor", "eager"))
        yield from session.timed(
            rows, {EAGER: run(network, x, "inference"), COMPILED: run(compiled, x, "inference")}, case
        )


def compare(
    session: Session,
    plan_name: str,
    names: Sequence[str],
    mode: str,
    batch: int,
    size: Sequence[int] | None = None,
    only_times: bool = False,
) -> Iterator[Row]:
    """Compare networks on one input.

    Each first runs once in a fresh process, which tells its peak memory, and its operations are counted; those that can
    are then timed in turns.

    Args:
        session: how to measure.
        plan_name: plan of the networks.
        names: of the networks.
        mode: "inference" or "training".
        batch: images in the input.
        size: of the input; the planned one by default.
        only_times: whether memory and operations are left out.
    """
    settings = session.settings
    shape = plan(plan_name, settings.quick).input(batch, size)
    case = f"{TITLES[mode]}, {' × '.join(map(str, shape))}"
    rows: dict[str, Row] = {name: {"case": case, "name": name, "ours": name in OURS} for name in names}
    runs = {}
    for name, row in rows.items():
        session.tell(f"{name}, {case}")
        try:
            if not only_times:
                arguments = (name, plan_name, mode, batch, size, settings)
                row["peak_bytes"] = in_child(peak_of, *arguments, settings=settings)
            network, x = make(name, plan_name, batch, size, settings)
            if not only_times:
                passes = operations.STEP if mode == "training" else 1
                row["operations"] = passes * operations.of_network(network, x)
            runs[name] = run(network, x, mode)
        except Exception as error:  # a network that does not take the size, or the memory
            row["failed"] = reason(error)
    yield from session.timed(rows, runs, case)


def peak_of(
    name: str, plan_name: str, mode: str, batch: int, size: Sequence[int] | None, settings: Settings
) -> int | None:
    """Peak memory of a process that runs a network once; see :func:`scripts.bench.models.prepare`."""
    prepare(name, plan_name, mode, batch, size, settings)()
    return peak_bytes(settings.device)
