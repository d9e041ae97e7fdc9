"""Whole networks: forward pass, training step, peak memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from ..errors import reason
from .child import in_child, peak_bytes
from .models import BOT, ENC, MSVM, NETWORKS, Build, build, make, plan, prepare, run
from .session import Row, Session, Settings

TITLES = {"inference": "forward", "training": "training step"}
CASES = {
    "msvm": (MSVM, "slices", "MSVM-UNet, 224²"),
    "mri_bot": (BOT, "mri", "xLSTM-UNet Bot in 3D"),
    "mri_enc": (ENC, "mri", "xLSTM-UNet Enc in 3D"),
    "endoscopy": (ENC, "endoscopy", "xLSTM-UNet Enc in 2D"),
}
"""Network, plan and what it is, by name."""


def measure(name: str, session: Session) -> Iterator[Row]:
    """Forward pass and training step of a network.

    Args:
        name: one of :data:`CASES`.
        session: how to measure.
    """
    network, plan_name, _ = CASES[name]
    for mode in TITLES:
        yield from compare(session, plan_name, (network,), mode, 1)


def compare(
    session: Session,
    plan_name: str,
    names: Sequence[str],
    mode: str,
    batch: int,
    size: Sequence[int] | None = None,
    build: Build = build,
    facts: Callable[[nn.Module, Tensor, str], Row] | None = None,
    only_times: bool = False,
) -> Iterator[Row]:
    """Compare networks on one input.

    Each first runs once in a fresh process, which tells its peak memory; those that can are then timed in turns.

    Args:
        session: how to measure.
        plan_name: plan of the networks.
        names: of the networks.
        mode: "inference" or "training".
        batch: images in the input.
        size: of the input; the planned one by default.
        build: makes a network.
        facts: more of a row, from the network, the input and the mode.
        only_times: whether the memory is left out.
    """
    settings = session.settings
    shape = plan(plan_name, settings.quick).input(batch, size)
    case = f"{TITLES[mode]}, {' × '.join(map(str, shape))}"
    rows: dict[str, Row] = {name: {"case": case, "name": name, "ours": name in NETWORKS} for name in names}
    runs = {}
    for name, row in rows.items():
        session.tell(f"{name}, {case}")
        try:
            if not only_times:
                arguments = (name, plan_name, mode, batch, size, settings, build)
                row["peak_bytes"] = in_child(peak_of, *arguments, settings=settings)
            network, x = make(name, plan_name, batch, size, settings, build=build)
            if facts is not None:
                row |= facts(network, x, mode)
            runs[name] = run(network, x, mode)
        except Exception as error:  # a network that does not take the size, or the memory
            row["failed"] = reason(error)
    yield from session.timed(rows, runs, case)


def peak_of(
    name: str,
    plan_name: str,
    mode: str,
    batch: int,
    size: Sequence[int] | None,
    settings: Settings,
    build: Build = build,
) -> int | None:
    """Peak memory of a process that runs a network once; see :func:`scripts.bench.models.prepare`."""
    prepare(name, plan_name, mode, batch, size, settings, build)()
    return peak_bytes(settings.device)
