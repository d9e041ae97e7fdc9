"""The table of what the project measures of itself, in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from scripts.bench.bundle import ITERATIONS, measure_data, measure_epoch
from scripts.bench.session import Row, Session
from scripts.bench.works import KERNELS, MEMORY, Work

from . import inference, networks, precision, processes, scaling, windows
from .bars import BARS
from .bundles import RECIPES, training_overrides

GROUPS = {
    "kernels": "every back end of the operators beside the default one, the definition and the speed of the memory",
    "networks": "forward pass, training step and peak memory beside MONAI's networks; bfloat16 beside float32",
    "pipeline": "samples a second, and the share of a training's loop that waits for data",
    "epoch": "an epoch of monai.bundle run training on the sample",
    "inference": "a whole image of the sample through the bundle's inferer",
    "scaling": "growth with tokens, size and batch, and what threads bring",
    "processes": "bytes that processes exchange in a step, and what many of them can reach",
    "memory": "peak memory by patch, batch and mode, each in a fresh process",
}


def _of_bundle(function: Callable[..., Iterator[Row]], bundle: str) -> Callable[[Session], Iterator[Row]]:
    def measure(session: Session) -> Iterator[Row]:
        values = training_overrides(bundle, session.settings, ITERATIONS)
        yield from function(session, bundle, lambda: session.sample(bundle), values)

    return measure


WORKS: dict[str, Work] = {
    **KERNELS,
    "networks/msvm": Work("MSVM-UNet beside MONAI's 2D networks, 224²", networks.measure_msvm),
    "networks/mri": Work("xLSTM-UNet Bot and Enc beside MONAI's 3D networks", networks.measure_mri),
    "networks/endoscopy": Work("xLSTM-UNet Bot and Enc in 2D", networks.measure_endoscopy),
    "networks/amp": Work("training steps of the recipes in bfloat16, for a GPU", networks.measure_amp),
    "networks/compile": Work("our networks compiled by torch.compile", networks.measure_compile),
    "networks/bfloat16": Work("bfloat16 autocast beside float32; label maps with --weights", precision.measure),
    "networks/vil_share": Work("time of Enc's forward pass in 3D, of which its ViL layers", networks.measure_vil_share),
    **{f"pipeline/{b}": Work(f"data of {b}", _of_bundle(measure_data, b)) for b in RECIPES},
    **{f"epoch/{b}": Work(f"an epoch of {b}", _of_bundle(measure_epoch, b)) for b in RECIPES},
    **{f"inference/{b}": Work(f"an image through {b}", partial(inference.measure, b)) for b in RECIPES},
    "inference/windows": Work("a volume in sliding windows beside MONAI's and nnU-Net's", windows.measure),
    "scaling/mlstm": Work("mlstm over tokens", scaling.measure_mlstm),
    "scaling/cross_scan": Work("cross_selective_scan over the size of the image", scaling.measure_cross_scan),
    "scaling/size": Work("networks over the size of the slice", scaling.measure_size),
    "scaling/batch": Work("networks over the batch", scaling.measure_batch),
    "scaling/threads": Work("networks over threads", scaling.measure_threads),
    "processes/exchange": Work("bytes of a training step between processes", processes.measure),
    **MEMORY,
}
"""By ``group/name``, in the order in which they are measured and shown."""
PRESETS = {
    "bars": tuple(dict.fromkeys(bar.work for bar in BARS)),
    "page": (
        *KERNELS,
        *(f"networks/{name}" for name in ("msvm", "mri", "endoscopy", "compile", "bfloat16", "vil_share")),
        "pipeline/msvm_acdc",
        *(f"inference/{bundle}" for bundle in ("msvm_synapse", "xlstm_abdomen_mri_3d", "xlstm_endoscopy")),
        "inference/windows",
        *(f"scaling/{name}" for name in ("mlstm", "size", "threads")),
        *(f"memory/{name}" for name in ("msvm", "mri_bot")),
    ),
}
"""Works by name: those that the bars are read from, and those of docs/benchmarks.md."""
