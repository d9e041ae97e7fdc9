"""bfloat16 under autocast beside float32: its time, and with trained weights whether the label maps agree."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from components.files import read_json
from scripts.bench.models import BOT, ENC, MSVM, Subject
from scripts.bench.networks import TITLES
from scripts.bench.session import Row, Session
from scripts.bundle.inference import InferenceBundle, load_weights
from scripts.data.sample import SAMPLES
from scripts.errors import UserError
from scripts.predict.predictor import Predictor

from .bundles import overrides

PRECISIONS = ("bfloat16", "float32")
CASES = ((MSVM, "slices", None, "inference"), (BOT, "mri", None, "inference"), (ENC, "mri", None, "inference"),
         (BOT, "mri", (32, 128, 128), "training"))  # fmt: skip
"""Network, plan, size of the input where it is not the planned one, and mode."""


def measure(session: Session) -> Iterator[Row]:
    """Time both precisions of our networks in turns; with weights, compare label maps too.

    Args:
        session: how to measure.
    """
    settings = session.settings
    for name, plan_name, size, mode in CASES:
        subject = Subject(name, plan_name, size=settings.size(size, None))
        case = f"{name}, {TITLES[mode]}, {' × '.join(map(str, subject.shape(settings)))}"
        modes = dict(zip(PRECISIONS, (f"{mode}, bfloat16", mode), strict=True))
        rows: dict[str, Row] = {k: {"case": case, "name": k, "ours": k == "bfloat16"} for k in PRECISIONS}
        yield from session.timed(rows, {kind: subject.run(settings, modes[kind]) for kind in PRECISIONS}, name)
    if settings.weights is not None:
        yield from agreement(session, bundle_of(settings.weights), settings.weights)


def bundle_of(weights: str) -> str:
    """The bundle whose network a file of weights fits.

    Raises:
        UserError: if it fits none.
    """
    if not Path(weights).is_file():
        raise UserError(f"--weights {weights}: there is no such file")
    reasons = []
    for name in SAMPLES:
        bundle = InferenceBundle(name)
        with torch.device("meta"):  # names and shapes are enough
            network = bundle.get("network_def")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that nothing is copied into it
                load_weights(network, Path(weights), bundle)
        except UserError as error:
            reasons.append(str(error))
            continue
        return name
    raise UserError(f"--weights {weights} fits the network of none of {', '.join(SAMPLES)}; {reasons[0]}")


def agreement(session: Session, bundle: str, weights: str) -> Iterator[Row]:
    """Compare the label maps of both precisions on the test images of a bundle's sample.

    Args:
        session: how to measure.
        bundle: name of the bundle.
        weights: file that fits its network.
    """
    settings = session.settings
    folder = session.sample(bundle)
    images = [folder / item["image"] for item in read_json(folder / "datalist.json")["test"]]
    sizes = {key: value for key, value in overrides(bundle, settings).items() if key == "roi_size"}
    maps: dict[str, list[np.ndarray]] = {}
    for kind in PRECISIONS:
        session.tell(f"label maps of {bundle}, {kind}")
        predictor = Predictor(bundle, weights, device=settings.device, amp=kind == "bfloat16", override=sizes)
        maps[kind] = [predictor(image).labels for image in images]
    same = sum(int((a == b).sum()) for a, b in zip(*maps.values(), strict=True))
    foreground = sum(int(((a > 0) | (b > 0)).sum()) for a, b in zip(*maps.values(), strict=True))
    equal = sum(int(((a == b) & (a > 0)).sum()) for a, b in zip(*maps.values(), strict=True))
    yield {
        "case": f"label maps of {bundle} on {len(images)} test images of its sample",
        "name": "bfloat16 and float32",
        "voxels": sum(a.size for a in maps["float32"]),
        "equal_voxels": same,
        "foreground_voxels": foreground,
        "equal_foreground_voxels": equal,
        "dice": {str(label): dice(*maps.values(), label) for label in predictor.bundle.labels if label},
    }


def dice(first: list[np.ndarray], second: list[np.ndarray], label: int) -> float | None:
    """Dice of a label between two lists of maps, over all of their voxels; None if neither has it."""
    both = sum(int(((a == label) & (b == label)).sum()) for a, b in zip(first, second, strict=True))
    each = sum(int((a == label).sum()) + int((b == label).sum()) for a, b in zip(first, second, strict=True))
    return 2 * both / each if each else None
