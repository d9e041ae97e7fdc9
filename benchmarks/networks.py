"""Whole networks beside MONAI's, with the operations of each; compiled by torch.compile; and the share of layers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from components.blocks.vil import ViLLayer
from scripts.bench.models import BOT, ENC, MSVM, Subject, run
from scripts.bench.networks import compare
from scripts.bench.session import Row, Session
from scripts.bench.timing import once, synchronise
from scripts.errors import reason

from . import operations
from .peers import PEERS, build

COMPILED, EAGER = "torch.compile", "eager"


def measure_msvm(session: Session) -> Iterator[Row]:
    """MSVM-UNet and peers on slices."""
    for mode in ("inference", "training"):
        for batch in session.settings.size((1, 2), (1,)):
            yield from _compare(session, "slices", (MSVM, *PEERS), mode, batch)


def measure_mri(session: Session) -> Iterator[Row]:
    """xLSTM-UNet Bot and Enc and peers on patches of the MRI plan."""
    for mode in ("inference", "training"):
        yield from _compare(session, "mri", (BOT, ENC, *PEERS), mode)


def measure_endoscopy(session: Session) -> Iterator[Row]:
    """xLSTM-UNet Bot and Enc and peers on pictures: the endoscopy plan at half its size."""
    size = session.settings.size((192, 320), None)
    for mode in ("inference", "training"):
        yield from _compare(session, "endoscopy", (BOT, ENC, *PEERS), mode, size=size)


def measure_amp(session: Session) -> Iterator[Row]:
    """Training steps in bfloat16 under autocast and their memory: slices, patches and pictures of the recipes."""
    settings = session.settings
    for plan_name, ours, batch in (("slices", (MSVM,), 24), ("mri", (BOT, ENC), 2), ("endoscopy", (BOT, ENC), 4)):
        names = *ours, "DynUNet", "SwinUNETR"
        yield from _compare(session, plan_name, names, "training, bfloat16", settings.size(batch, 1))


def measure_compile(session: Session) -> Iterator[Row]:
    """Our networks as they are and compiled by torch.compile, which needs a C++ compiler on a CPU."""
    settings = session.settings
    for name, plan_name, size in ((MSVM, "slices", None), (BOT, "mri", settings.size((24, 96, 128), None))):
        subject = Subject(name, plan_name, size=size)
        case = f"{name}, forward, {' × '.join(map(str, subject.shape(settings)))}"
        rows: dict[str, Row] = {
            kind: {"case": case, "name": kind, "ours": kind == COMPILED} for kind in (COMPILED, EAGER)
        }
        network, x = subject.make(settings)
        compiled = torch.compile(network, backend=settings.size("inductor", "eager"))
        yield from session.timed(
            rows, {EAGER: run(network, x, "inference"), COMPILED: run(compiled, x, "inference")}, case
        )


def measure_vil_share(session: Session) -> Iterator[Row]:
    """Time inside of the ViL layers of Enc 3D."""
    row: Row = {"case": "forward", "name": ENC, "ours": True}
    try:
        network, x = Subject(ENC, "mri").make(session.settings)
        yield {**row, **share_inside(network, ViLLayer, x, session)}
    except Exception as error:  # too little memory
        yield {**row, "failed": reason(error)}


def share_inside(network: nn.Module, kind: type[nn.Module], x: Tensor, session: Session) -> Row:
    """Times of forward passes, ``seconds``, and of the layers of a kind within each, ``part_seconds``.

    Args:
        network: on the device of ``x``.
        kind: class of the layers; none lies inside of another.
        x: the input.
        session: how to measure.
    """
    device, parts = session.settings.device, [0.0]

    def timed(forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*maps: Tensor) -> Any:
            synchronise(device)
            begin = time.perf_counter()
            output = forward(*maps)
            synchronise(device)
            parts[-1] += time.perf_counter() - begin
            return output

        return run

    for layer in network.modules():
        if isinstance(layer, kind):
            layer.forward = timed(layer.forward)  # with a hook the network would take the slow way
    forward = run(network, x, "inference")
    forward()
    seconds = []
    parts.clear()
    for turn in range(session.settings.repeats):
        session.tell(f"ViL layers, {turn + 1} of {session.settings.repeats}")
        parts.append(0.0)
        seconds.append(once(forward, device))
    return {"seconds": seconds, "part_seconds": parts}


def _compare(
    session: Session,
    plan_name: str,
    names: Sequence[str],
    mode: str,
    batch: int = 1,
    size: tuple[int, ...] | None = None,
) -> Iterator[Row]:
    subjects = [Subject(name, plan_name, batch, size, build) for name in names]
    yield from compare(session, subjects, mode, _operations)


def _operations(network: nn.Module, x: Tensor, mode: str) -> Row:
    passes = operations.STEP if mode.startswith("training") else 1
    return {"operations": passes * operations.of_network(network, x)}
