"""A whole image of a sample through a bundle's own inferer, with its network and with MONAI's in its place."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..bundle.inference import InferenceBundle
from ..data.dataset import read_json
from ..errors import reason
from .bundles import RECIPES, overrides, own_network, peer
from .child import in_child, peak_bytes
from .session import Row, Session, Settings
from .timing import Run

MOST_ROUNDS = 3
"""An image takes minutes."""


def measure(bundle: str, session: Session) -> Iterator[Row]:
    """Time the inference of the first test image in turns, and measure its memory in fresh processes.

    Args:
        bundle: its name.
        session: how to measure.
    """
    settings = session.settings
    folder = session.sample(bundle)
    image = str(folder / read_json(folder / "datalist.json")["test"][0]["image"])
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
        except Exception as error:  # one that cannot run is told, and the other goes on
            rows[name]["failed"] = reason(error)
    yield from session.timed(rows, runs, bundle, min(settings.repeats, MOST_ROUNDS))


def prepare(bundle: str, image: str, ours: bool, settings: Settings) -> tuple[Run, Tensor]:
    """Make the run, and the image as the bundle prepares it; the network has random weights."""
    torch.manual_seed(settings.seed)
    loaded = InferenceBundle(bundle, overrides(bundle, settings))
    loaded.parser["device"] = f"$torch.device('{settings.device}')"
    network = loaded.get("network").eval() if ours else peer(bundle, settings)
    inferer = loaded.get("inferer")
    x = loaded.get("preprocessing")({"image": image})["image"].as_tensor()[None].to(settings.device)

    def run() -> Tensor:
        with torch.no_grad():
            return inferer(x, network)

    return run, x


def peak_of(bundle: str, image: str, ours: bool, settings: Settings) -> int | None:
    """Peak memory of a process that runs it once."""
    prepare(bundle, image, ours, settings)[0]()
    return peak_bytes(settings.device)
