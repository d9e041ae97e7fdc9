"""Whole networks beside MONAI's, with the operations of each; and compiled by torch.compile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from scripts.bench.models import BOT, ENC, MSVM, Subject, run
from scripts.bench.networks import compare
from scripts.bench.session import Row, Session

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
    yield from _compare(session, "endoscopy", (BOT, ENC, *PEERS), "inference", size=size)


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
