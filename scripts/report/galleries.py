"""The pictures of the cases that are shown."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..errors import UserError
from ..folds.cases import ScoredCase
from .pictures import Slices, draw
from .ranking import case_means, ranked
from .results import Results
from .scores import Column
from .volume import Volume, read_volume

MOST = 20_000_000
"""Characters of all pictures of a page together; what comes after is left out."""
OVERVIEW = 3
"""Number of slices in overlay.png, and of cases that are kept for it."""


@dataclass(frozen=True)
class Gallery:
    """Pictures of a test case, or the reason why there are none.

    Args:
        name: name of the case.
        rank: what it is among the cases, such as "best"; empty if they have no scores.
        score: its mean score as text.
        planes: the slices of each plane.
        volume: the case, of the first ones only; None if it cannot be shown.
        missing: why there is no picture.
    """

    name: str
    rank: str = ""
    score: str = ""
    planes: list[Slices] = field(default_factory=list)
    volume: Volume | None = field(default=None, repr=False)
    missing: str = ""


def galleries(results: Results, leading: list[Column], cases: int, slices: int) -> list[Gallery]:
    """Draw the best, the median and the worst case, or the first ones where there are no scores.

    Args:
        results: what training and evaluation left.
        leading: the leading columns of the scores; the first one ranks.
        cases: number of cases.
        slices: largest number of slices in each plane.
    """
    means = case_means(results.scores, f"strict_{leading[0].key}") if leading else {}
    known = {case.name: case for case in results.cases}
    ranks = ranked({name: mean for name, mean in means.items() if name in known}, cases)
    found, size, kept = [], 0, 0
    for name in ranks or list(known)[:cases]:
        score = f"mean {leading[0].title} {leading[0].text(means[name])} {leading[0].unit}".strip() if ranks else ""
        gallery = _gallery(known[name], results, ranks.get(name, ""), score, slices)
        size += sum(plane.bytes for plane in gallery.planes)
        if size > MOST:
            gallery = Gallery(name, gallery.rank, score, missing="the page would be too large: lower --slices")
        kept += gallery.volume is not None
        found.append(gallery if kept <= OVERVIEW else replace(gallery, volume=None))
    return found


def _gallery(case: ScoredCase, results: Results, rank: str, score: str, slices: int) -> Gallery:
    try:
        volume = read_volume(case, results.dataset.get("modality", ""), results.ignore)
    except UserError as error:
        return Gallery(case.name, rank, score, missing=str(error))
    planes = [draw(volume, plane, slices) for plane in volume.planes]
    return Gallery(case.name, rank, score, planes, volume)
