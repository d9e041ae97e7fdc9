"""``bench``: the time of our networks beside MONAI's on the same work, in one process, in turns."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.networks.nets import DynUNet, SwinUNETR
from torch import nn

from components.files import write_text
from components.networks import MSVMUNet, XLSTMUNet

from .errors import UserError

PATCH = (48, 160, 224)
FEATURES = [32, 64, 128, 256, 320, 320]
KERNELS = [[1, 3, 3], *[[3, 3, 3]] * 5]
STRIDES = [[1, 1, 1], [1, 2, 2], *[[2, 2, 2]] * 3, [1, 2, 2]]


def _xlstm(variant: str) -> nn.Module:
    return XLSTMUNet(3, 1, 14, variant, PATCH, FEATURES, KERNELS, STRIDES)


def _dynunet() -> nn.Module:
    return DynUNet(3, 1, 14, KERNELS, STRIDES, STRIDES[1:], FEATURES, res_block=True)


def _swin() -> nn.Module:
    return SwinUNETR(in_channels=1, out_channels=9, feature_size=48, spatial_dims=2)


@dataclass(frozen=True)
class Work:
    """Two networks on one input.

    Args:
        ours: makes our network.
        peer: makes MONAI's.
        names: how both are called.
        shape: of the input.
        train: whether a training step is timed, or else a forward pass.
    """

    ours: Callable[[], nn.Module]
    peer: Callable[[], nn.Module]
    names: tuple[str, str]
    shape: tuple[int, ...]
    train: bool


WORKS = {
    "msvm_forward": Work(lambda: MSVMUNet(1, 9), _swin, ("MSVM-UNet", "SwinUNETR"), (1, 1, 224, 224), False),
    "msvm_step": Work(lambda: MSVMUNet(1, 9), _swin, ("MSVM-UNet", "SwinUNETR"), (2, 1, 224, 224), True),
    "bot_3d_forward": Work(lambda: _xlstm("bot"), _dynunet, ("xLSTM-UNet Bot", "DynUNet"), (1, 1, *PATCH), False),
    "enc_3d_forward": Work(lambda: _xlstm("enc"), _dynunet, ("xLSTM-UNet Enc", "DynUNet"), (1, 1, *PATCH), False),
}


def bench(work: str = "msvm_forward,msvm_step", repeats: int = 7, threads: int = 2, out: str | None = None) -> None:
    """Time our networks beside MONAI's on the same work: medians, and the median of the ratios.

    Both run in turns in one process after a warm-up, so that a machine whose speed drifts treats both alike. A training
    step is forward, cross-entropy, backward and AdamW. Everything is float32 on the CPU.

    Args:
        work: msvm_forward, msvm_step, bot_3d_forward, enc_3d_forward, or several of them with commas between.
        repeats: timed runs of each network.
        threads: CPU threads.
        out: JSON file to write.

    Example:
        scanseg bench --work msvm_forward,msvm_step
    """
    names = work.split(",") if isinstance(work, str) else list(work)
    if strange := [name for name in names if name not in WORKS]:
        raise UserError(f"there is no work {strange[0]!r}: choose from {', '.join(WORKS)}")
    if min(repeats, threads) < 1:
        raise UserError("--repeats and --threads need a number from 1 on")
    torch.set_num_threads(threads)
    results = {name: measure(WORKS[name], repeats) for name in names}
    for name, result in results.items():
        (ours, seconds), (peer, others) = result["seconds"].items()
        print(f"{name:16} {ours} {seconds:.3f} s, {peer} {others:.3f} s, ratio {result['ratio']:.2f}")
    if out is not None:
        write_text(Path(out), json.dumps({"threads": threads, "repeats": repeats, "work": results}, indent=2) + "\n")
        print(f"{out} is written")


def measure(work: Work, repeats: int) -> dict:
    """Time both networks of a work in turns.

    Args:
        work: what to time.
        repeats: timed runs of each.

    Returns:
        ``seconds``, the median of each network by name, and ``ratio``, the median of ours to the other.
    """
    torch.manual_seed(0)
    x = torch.randn(work.shape)
    runs = [_step(make(), x) if work.train else _forward(make(), x) for make in (work.ours, work.peer)]
    for run in runs:
        run()
    times = [[_seconds(run) for run in runs] for _ in range(repeats)]
    medians = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "seconds": dict(zip(work.names, medians, strict=True)),
        "ratio": statistics.median(ours / peer for ours, peer in times),
    }


def _seconds(run: Callable[[], None]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _forward(network: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    network.eval()

    def run() -> None:
        with torch.no_grad():
            network(x)

    return run


def _step(network: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=1e-4)
    labels = torch.zeros(x.shape[0], *x.shape[2:], dtype=torch.long)

    def run() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()

    return run
