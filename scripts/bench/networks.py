"""Whole networks: forward pass, training step, peak memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from ..errors import reason
from .child import in_child, peak_bytes
from .models import BOT, ENC, MSVM, NETWORKS, Subject, run
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
        yield from compare(session, [Subject(network, plan_name)], mode)


def compare(
    session: Session,
    subjects: Sequence[Subject],
    mode: str,
    facts: Callable[[nn.Module, Tensor, str], Row] | None = None,
    only_times: bool = False,
    rounds: int | None = None,
) -> Iterator[Row]:
    """Compare networks on one input.

    Each first runs once in a fresh process, which gives its peak memory; those that ran are then timed in turns.

    Args:
        session: how to measure.
        subjects: the networks, on inputs of one shape.
        mode: one of :data:`scripts.bench.models.MODES`.
        facts: more of a row, from the network, the input and the mode.
        only_times: whether the memory is left out.
        rounds: timed runs of each; the session's ``repeats`` by default.
    """
    settings = session.settings
    case = f"{TITLES.get(mode, mode)}, {' × '.join(map(str, subjects[0].shape(settings)))}"
    rows: dict[str, Row] = {}
    runs = {}
    for subject in subjects:
        row = rows[subject.name] = {"case": case, "name": subject.name, "ours": subject.name in NETWORKS}
        session.tell(f"{subject.name}, {case}")
        try:
            if not only_times:
                row["peak_bytes"] = in_child(peak_of, subject, mode, settings, settings=settings)
            network, x = subject.make(settings)
            if facts is not None:
                row |= facts(network, x, mode)
            runs[subject.name] = run(network, x, mode)
        except Exception as error:  # a network that does not take the size, or the memory
            row["failed"] = reason(error)
    yield from session.timed(rows, runs, case, rounds)


def peak_of(subject: Subject, mode: str, settings: Settings) -> int | None:
    """Peak memory of a process that runs a network once."""
    subject.run(settings, mode)()
    return peak_bytes(settings.device)
