"""A whole volume through sliding windows: the bundles' inferer beside MONAI's and nnU-Net's, with the same network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import torch
from monai.inferers import SlidingWindowInferer
from torch import Tensor, nn

from components.inferers import EvenWindowInferer
from components.inferers.even_windows import even_starts
from scripts.bench.child import in_child, peak_bytes
from scripts.bench.models import BOT, Subject, plan
from scripts.bench.session import Row, Session, Settings
from scripts.bench.timing import Run
from scripts.errors import reason

SIZE, TINY = (72, 240, 336), (24, 32, 48)
"""Voxels of the volume: 8 windows of the MRI plan, 4 in a quick run."""
OURS, MONAI, NNUNET = "EvenWindowInferer", "MONAI's sliding windows", "nnU-Net's sliding windows"
ROUNDS = 2
"""A volume takes minutes."""
Infer = Callable[[Tensor, nn.Module], Tensor]


def measure(session: Session) -> Iterator[Row]:
    """Time each way in turns, and measure its memory in fresh processes."""
    settings = session.settings
    case = f"volume of {' × '.join(map(str, settings.size(SIZE, TINY)))}"
    rows: dict[str, Row] = {}
    runs: dict[str, Run] = {}
    for name in (OURS, MONAI, NNUNET):
        session.tell(f"{name}, {case}")
        row = rows[name] = {"case": case, "name": name, "ours": name == OURS}
        try:
            row["peak_bytes"] = in_child(peak_of, name, settings, settings=settings)
            runs[name] = prepare(name, settings)
        except Exception as error:  # too little memory
            row["failed"] = reason(error)
    yield from session.timed(rows, runs, case, min(settings.repeats, ROUNDS))


def prepare(name: str, settings: Settings) -> Run:
    """Make the run of one way: xLSTM-UNet Bot of the MRI plan on windows of its patch, each half over the next.

    Args:
        name: :data:`OURS`, :data:`MONAI` or :data:`NNUNET`.
        settings: device, seed and whether all is tiny.
    """
    roi = plan("mri", settings.quick).patch_size
    network, _ = Subject(BOT, "mri").make(settings)
    volume = torch.randn(1, 1, *settings.size(SIZE, TINY)).to(settings.device)
    ways: dict[str, Infer] = {
        OURS: EvenWindowInferer(roi, 2, overlap=0.5, mode="gaussian", sigma_scale=0.125),
        MONAI: SlidingWindowInferer(roi, 2, overlap=0.5, mode="gaussian", sigma_scale=0.125),
        NNUNET: partial(as_nnunet, roi=roi),
    }
    infer = ways[name]
    network.eval()

    def run() -> Tensor:
        with torch.no_grad():
            return infer(volume, network)

    return run


def peak_of(name: str, settings: Settings) -> int | None:
    """Peak memory of a process that runs one way once."""
    prepare(name, settings)()
    return peak_bytes(settings.device)


def as_nnunet(image: Tensor, network: nn.Module, roi: tuple[int, ...]) -> Tensor:
    """What nnU-Net's predictor (2.8) computes: window by window, sums of logits and of weights in half precision.

    Args:
        image: 1 × channels × spatial axes, none of them smaller than a window.
        network: that sees the windows.
        roi: size of a window.

    Returns:
        1 × classes × spatial axes, in half precision.
    """
    weight = torch.ones((), device=image.device)
    for n in roi:
        weight = weight[..., None] * torch.exp(
            -0.5 * ((torch.arange(n, device=image.device) - n // 2) / (0.125 * n)) ** 2
        )
    weight = (10 * weight).half()
    weight[weight == 0] = weight[weight > 0].min()
    logits, count = None, torch.zeros(image.shape[2:], dtype=torch.half, device=image.device)
    starts = [even_starts(size, n, 0.5) for size, n in zip(image.shape[2:], roi, strict=True)]
    for corner in itertools.product(*starts):
        where = tuple(slice(start, start + n) for start, n in zip(corner, roi, strict=True))
        answer = network(image[(..., *where)].contiguous())
        if logits is None:
            logits = torch.zeros(1, answer.shape[1], *image.shape[2:], dtype=torch.half, device=image.device)
        answer *= weight
        logits[(..., *where)] += answer
        count[where] += weight
    assert logits is not None  # an image has at least one window
    return logits.div_(count)
