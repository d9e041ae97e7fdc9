"""Peak memory by patch, batch and mode, each in a fresh process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import reason
from .child import in_child
from .models import BOT, ENC, MODES, MSVM, Subject, plan
from .networks import peak_of
from .session import Row, Session


@dataclass(frozen=True)
class Grid:
    """What is measured of a network.

    Args:
        name: of the network.
        plan: name of its plan.
        sizes: of the input; None for the planned one.
        batches: images in the input.
    """

    name: str
    plan: str
    sizes: tuple[tuple[int, ...] | None, ...]
    batches: tuple[int, ...]


GRIDS = {
    "msvm": Grid(MSVM, "slices", (None, (320, 320)), (1, 4)),
    "mri_bot": Grid(BOT, "mri", ((24, 96, 128), None), (1,)),
    "mri_enc": Grid(ENC, "mri", ((24, 96, 128), None), (1,)),
    "endoscopy": Grid(ENC, "endoscopy", ((192, 320), None), (1, 2)),
}


def measure(grid: Grid, session: Session) -> Iterator[Row]:
    """Measure each combination; one that does not fit is reported.

    Args:
        grid: the combinations.
        session: how to measure.
    """
    settings = session.settings
    sizes, batches = settings.size((grid.sizes, grid.batches), ((None,), (1,)))
    for size in sizes:
        patch = list(size or plan(grid.plan, settings.quick).patch_size)
        for batch in batches:
            for mode in MODES:
                case = f"{grid.name}, {' × '.join(map(str, patch))}"
                session.tell(f"{case}, batch {batch}, {mode}")
                row: Row = {"case": case, "name": f"batch {batch}", "mode": mode, "batch": batch, "patch": patch}
                try:
                    subject = Subject(grid.name, grid.plan, batch, size)
                    row["peak_bytes"] = in_child(peak_of, subject, mode, settings, settings=settings)
                except Exception as error:  # too little memory
                    row["failed"] = reason(error)
                yield row
