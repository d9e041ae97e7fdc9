"""The table of what can be measured, in groups."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from components.kernels import operators
from components.validation import check_choice

from . import bars, inference, kernels, memory, networks, precision, processes, scaling, training
from .bundles import RECIPES
from .models import BOT, ENC, MSVM
from .session import Row, Session


@dataclass(frozen=True)
class Work:
    """One thing to measure.

    Args:
        about: what it is, in a few words.
        measure: yields its rows.
    """

    about: str
    measure: Callable[[Session], Iterator[Row]]


GROUPS = {
    "kernels": "every back end of the operators beside the default one, the definition and the speed of the memory",
    "networks": "forward pass, training step and peak memory beside MONAI's networks; bfloat16 beside float32",
    "pipeline": "samples a second, and the share of a training's loop that waits for data",
    "epoch": "an epoch of monai.bundle run training on the sample",
    "inference": "a whole image of the sample through the bundle's inferer",
    "scaling": "growth with tokens, size and batch, and what threads bring",
    "processes": "bytes that processes exchange in a step, and what many of them can reach",
    "memory": "peak memory by patch, batch and mode, each in a fresh process",
    "bars": "the ratios, shares and peaks that the project holds itself to",
}


def _bars(*arguments: object) -> Callable[[Session], Iterator[Row]]:
    return lambda session: bars.measure_pairs(session, *arguments)


def _bound(function: Callable[..., Iterator[Row]], first: object) -> Callable[[Session], Iterator[Row]]:
    return functools.partial(function, first)


WORKS: dict[str, Work] = {
    **{f"kernels/{op}": Work(f"back ends of {op}", _bound(kernels.measure, op)) for op in operators()},
    "networks/msvm": Work("MSVM-UNet beside MONAI's 2D networks, 224²", networks.measure_msvm),
    "networks/mri": Work("xLSTM-UNet Bot and Enc beside MONAI's 3D networks", networks.measure_mri),
    "networks/endoscopy": Work("xLSTM-UNet Bot and Enc in 2D", networks.measure_endoscopy),
    "networks/compile": Work("our networks compiled by torch.compile", networks.measure_compile),
    "networks/bfloat16": Work("bfloat16 autocast beside float32; label maps with --weights", precision.measure),
    **{f"pipeline/{b}": Work(f"data of {b}", _bound(training.measure_pipeline, b)) for b in RECIPES},
    **{f"epoch/{b}": Work(f"an epoch of {b}", _bound(training.measure_epoch, b)) for b in RECIPES},
    **{f"inference/{b}": Work(f"an image through {b}", _bound(inference.measure, b)) for b in RECIPES},
    "scaling/mlstm": Work("mlstm over tokens", scaling.measure_mlstm),
    "scaling/cross_scan": Work("cross_selective_scan over the size of the image", scaling.measure_cross_scan),
    "scaling/size": Work("networks over the size of the slice", scaling.measure_size),
    "scaling/batch": Work("networks over the batch", scaling.measure_batch),
    "scaling/threads": Work("networks over threads", scaling.measure_threads),
    "processes/exchange": Work("bytes of a training step between processes", processes.measure),
    **{f"memory/{n}": Work(f"memory of {g.name}", _bound(memory.measure, g)) for n, g in memory.GRIDS.items()},
    "bars/msvm_forward": Work("MSVM-UNet and SwinUNETR", _bars("slices", (MSVM, "SwinUNETR"), "inference", 1)),
    "bars/msvm_step": Work("MSVM-UNet and SwinUNETR, training", _bars("slices", (MSVM, "SwinUNETR"), "training", 2)),
    "bars/mri": Work("xLSTM-UNet Bot and Enc and DynUNet", _bars("mri", (BOT, ENC, "DynUNet"), "inference", 1)),
    "bars/mlstm": Work("mlstm at twice the tokens", bars.measure_mlstm),
    "bars/vil_share": Work("ViL layers' share of Enc 3D", bars.measure_vil_share),
    "bars/enc_memory": Work("peak memory of Enc 3D", bars.measure_enc_memory),
    "bars/cross_scan": Work("four-path scan beside the speed of the memory", bars.measure_cross_scan),
    "bars/bfloat16": Work("bfloat16 beside float32", lambda s: precision.measure(s, (MSVM, BOT), agree=False)),
}
"""By ``group/name``, in the order in which they are measured and shown."""


def choose(asked: str | Sequence[str]) -> list[str]:
    """Names of the works that were asked for, in the order of the table, each once.

    Args:
        asked: "all", groups and works, with commas between or as a list.

    Raises:
        ValueError: if there is no such group or work; it tells the closest.
    """
    words = asked.split(",") if isinstance(asked, str) else [str(word) for word in asked]
    words = [word.strip() for word in words]
    for word in words:
        group, slash, _ = word.partition("/")
        if slash and group in GROUPS:
            check_choice("work", word, [name for name in WORKS if name.startswith(f"{group}/")])
        elif meant := [name for name in WORKS if name.endswith(f"/{word}")]:
            raise ValueError(f"unknown work '{word}', did you mean {' or '.join(meant)}?")
        else:
            check_choice("work", word, ["all", *GROUPS])
    return [name for name in WORKS if "all" in words or name in words or name.partition("/")[0] in words]


def listing() -> str:
    """All groups and works with what they are, as text."""
    lines = []
    for group, about in GROUPS.items():
        lines.append(f"{group}: {about}")
        mine = {name: work for name, work in WORKS.items() if name.startswith(f"{group}/")}
        lines += [f"  {name:<32} {work.about}" for name, work in mine.items()]
    return "\n".join([*lines, "all: all of them"])
