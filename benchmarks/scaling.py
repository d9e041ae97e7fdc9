"""How time grows: with tokens, with the size of an image, with the batch, and how it falls with threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from components import machine
from components.kernels import backends
from scripts import kernel_cases
from scripts.bench.models import BOT, MSVM, Subject
from scripts.bench.session import Row, Session
from scripts.bench.timing import Run
from scripts.errors import reason

from .peers import build

LONG = 5.0
"""What took longer than so many seconds at a point is not measured at the next ones, which are larger."""
SLICE_NETWORKS = (MSVM, "SwinUNETR", "DynUNet")


def measure_mlstm(session: Session) -> Iterator[Row]:
    """The mLSTM over tokens, each back end."""
    points = session.settings.size((420, 840, 1680, 3360, 6720, 13440, 26880), (32, 64))
    yield from _kernel(session, "mlstm", "tokens", points, lambda n: kernel_cases.mlstm_case(n, session.settings))


def measure_cross_scan(session: Session) -> Iterator[Row]:
    """Four-path scan over the edge of the image, each back end."""
    points = session.settings.size((7, 14, 28, 56, 112, 224), (4, 8))
    yield from _kernel(
        session, "cross_selective_scan", "edge of the image", points,
        lambda n: kernel_cases.cross_case(session.settings.size(96, 16), n, session.settings),
    )  # fmt: skip


def measure_size(session: Session) -> Iterator[Row]:
    """Networks over the edge of a slice."""
    settings = session.settings
    points = settings.size((64, 96, 128, 192, 256, 384, 512), (64, 96))
    makers = {
        name: lambda n, name=name: Subject(name, "slices", 1, (n, n), build).run(settings, "inference")
        for name in SLICE_NETWORKS
    }
    yield from _curve(session, "edge of the slice", points, makers)


def measure_batch(session: Session) -> Iterator[Row]:
    """Networks over the number of slices in a batch."""
    settings = session.settings
    points = settings.size((1, 2, 4, 8, 16), (1, 2))
    makers = {
        name: lambda n, name=name: Subject(name, "slices", n, build=build).run(settings, "inference")
        for name in SLICE_NETWORKS
    }
    yield from _curve(session, "slices in a batch", points, makers)


def measure_threads(session: Session) -> Iterator[Row]:
    """Networks over the number of threads: 1, 2, 4 … and all cores."""
    settings = session.settings
    cores = machine.cores()
    points = sorted({n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n <= cores} | {cores})
    plans = {MSVM: ("slices", None), "SwinUNETR": ("slices", None), BOT: ("mri", settings.size((24, 96, 128), None))}

    def make(name: str) -> Callable[[int], Run]:
        def with_threads(threads: int) -> Run:
            chosen, size = plans[name]
            subject = Subject(name, chosen, size=size, build=build)
            return _threaded(subject.run(settings, "inference"), threads, settings.threads)

        return with_threads

    names = settings.size(list(plans), [MSVM])
    yield from _curve(session, "threads", points, {name: make(name) for name in names}, falling=True)


def _threaded(run: Run, threads: int, after: int) -> Run:
    def threaded() -> None:
        torch.set_num_threads(threads)
        try:
            run()
        finally:
            torch.set_num_threads(after)

    return threaded


def _kernel(
    session: Session, op: str, axis: str, points: Sequence[int], case: Callable[[int], kernel_cases.KernelCase]
) -> Iterator[Row]:
    device = session.settings.device
    names = [b.name for b in backends(op) if b.available and device in b.devices]
    makers = {name: lambda n, name=name: kernel_cases.call(op, case(n), name, kernel_cases.FORWARD) for name in names}
    yield from _curve(session, axis, points, makers)


def _curve(
    session: Session,
    axis: str,
    points: Sequence[int],
    makers: Mapping[str, Callable[[int], Run]],
    falling: bool = False,
) -> Iterator[Row]:
    """Time alternatives at each point, in turns.

    Args:
        session: how to measure.
        axis: what the points are.
        points: in rising order.
        makers: make the run of an alternative at a point.
        falling: whether a run becomes shorter from point to point.
    """
    left = dict(makers)
    for point in points:
        rows: dict[str, Row] = {name: {"case": axis, "name": name, "x": point} for name in left}
        runs: dict[str, Run] = {}
        for name, make in left.items():
            try:
                runs[name] = make(point)
            except Exception as error:  # a size that a network does not take
                rows[name]["failed"] = reason(error)
        for row in session.timed(rows, runs, f"{axis} {point:,}"):
            yield row
            if not falling and ("failed" in row or min(row["seconds"]) > LONG):
                del left[row["name"]]
