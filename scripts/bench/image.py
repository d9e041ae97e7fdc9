"""A whole image through a bundle's own preprocessing and inferer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from components.files import read_json

from ..bundle.inference import InferenceBundle
from ..errors import reason
from .child import in_child, peak_bytes
from .session import Row, Session, Settings
from .timing import Run

MOST_ROUNDS = 3
"""An image takes minutes."""


def first_image(dataset_dir: Path) -> str:
    """The first test image of a data set."""
    return str(dataset_dir / read_json(dataset_dir / "datalist.json")["test"][0]["image"])


def measure(session: Session, bundle: str, dataset_dir: Callable[[], Path]) -> Iterator[Row]:
    """Time the inference of the first test image, and measure its memory in a fresh process; random weights.

    Args:
        session: how to measure.
        bundle: its name or folder.
        dataset_dir: makes or finds the data set.
    """
    settings, name = session.settings, Path(bundle).name
    image = first_image(dataset_dir())
    row: Row = {"case": "first test image", "name": name, "ours": True}
    runs: dict[str, Run] = {}
    try:
        row["peak_bytes"] = in_child(peak_of, bundle, image, settings, settings=settings)
        runs[name], x = prepare(bundle, image, settings)
        row["case"] = f"image of {' × '.join(map(str, x.shape))}"
    except Exception as error:  # too little memory
        row["failed"] = reason(error)
    yield from session.timed({name: row}, runs, name, min(settings.repeats, MOST_ROUNDS))


def prepare(
    bundle: str,
    image: str,
    settings: Settings,
    overrides: Mapping[str, Any] | None = None,
    network: Callable[[], nn.Module] | None = None,
) -> tuple[Run, Tensor]:
    """Make the run, and the image as the bundle prepares it.

    Args:
        bundle: its name or folder.
        image: a file.
        settings: device and seed.
        overrides: of its inference config.
        network: makes one that takes the place of the bundle's.
    """
    torch.manual_seed(settings.seed)
    loaded = InferenceBundle(bundle, overrides)
    loaded.parser["device"] = f"$torch.device('{settings.device}')"
    used = loaded.get("network").eval() if network is None else network()
    inferer = loaded.get("inferer")
    x = loaded.get("preprocessing")({"image": image})["image"].as_tensor()[None].to(settings.device)

    def run() -> Tensor:
        with torch.no_grad():
            return inferer(x, used)

    return run, x


def peak_of(bundle: str, image: str, settings: Settings) -> int | None:
    """Peak memory of a process that runs it once."""
    prepare(bundle, image, settings)[0]()
    return peak_bytes(settings.device)
