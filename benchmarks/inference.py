"""A whole image of a sample through a bundle's own inferer, with its network and with MONAI's in its place."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from scripts.bench import image as whole_image
from scripts.bench.child import in_child, peak_bytes
from scripts.bench.session import Row, Session, Settings
from scripts.bench.timing import Run
from scripts.errors import reason

from .bundles import RECIPES, overrides, own_network, peer


def measure(bundle: str, session: Session) -> Iterator[Row]:
    """Time the inference of the first test image in turns, and measure its memory in fresh processes.

    Args:
        bundle: its name.
        session: how to measure.
    """
    settings = session.settings
    image = whole_image.first_image(session.sample(bundle))
    names = {own_network(bundle): True, RECIPES[bundle].peer: False}
    rows: dict[str, Row] = {}
    runs: dict[str, Run] = {}
    for name, ours in names.items():
        session.tell(f"{bundle}, {name}")
        rows[name] = {"case": "first test image", "name": name, "ours": ours}
        try:
            rows[name]["peak_bytes"] = in_child(peak_of, bundle, image, ours, settings, settings=settings)
            runs[name], x = prepare(bundle, image, ours, settings)
            rows[name]["case"] = f"image of {' × '.join(map(str, x.shape))}"
        except Exception as error:  # one that cannot run is reported, and the other continues
            rows[name]["failed"] = reason(error)
    yield from session.timed(rows, runs, bundle, min(settings.repeats, whole_image.MOST_ROUNDS))


def prepare(bundle: str, image: str, ours: bool, settings: Settings) -> tuple[Run, Tensor]:
    """Make the run with the bundle's network or its peer, and the image as the bundle prepares it."""
    network = None if ours else lambda: peer(bundle, settings)
    return whole_image.prepare(bundle, image, settings, overrides(bundle, settings), network)


def peak_of(bundle: str, image: str, ours: bool, settings: Settings) -> int | None:
    """Peak memory of a process that runs it once."""
    prepare(bundle, image, ours, settings)[0]()
    return peak_bytes(settings.device)
