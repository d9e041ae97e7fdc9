"""The table of what the project measures of itself, in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from scripts.bench.bundle import ITERATIONS, measure_data, measure_epoch
from scripts.bench.models import BOT, ENC, MSVM
from scripts.bench.session import Row, Session
from scripts.bench.works import KERNELS, MEMORY, Work

from . import bars, inference, networks, precision, processes, scaling, windows
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
    "bars": "the ratios, shares and peaks that the project holds itself to",
}


def _bars(*arguments: object) -> Callable[[Session], Iterator[Row]]:
    return lambda session: bars.measure_pairs(session, *arguments)


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
    **{f"pipeline/{b}": Work(f"data of {b}", _of_bundle(measure_data, b)) for b in RECIPES},
    **{f"epoch/{b}": Work(f"an epoch of {b}", _of_bundle(measure_epoch, b)) for b in RECIPES},
    **{f"inference/{b}": Work(f"an image through {b}", partial(inference.measure, b)) for b in RECIPES},
    "scaling/mlstm": Work("mlstm over tokens", scaling.measure_mlstm),
    "scaling/cross_scan": Work("cross_selective_scan over the size of the image", scaling.measure_cross_scan),
    "scaling/size": Work("networks over the size of the slice", scaling.measure_size),
    "scaling/batch": Work("networks over the batch", scaling.measure_batch),
    "scaling/threads": Work("networks over threads", scaling.measure_threads),
    "processes/exchange": Work("bytes of a training step between processes", processes.measure),
    **MEMORY,
    "bars/msvm_forward": Work("MSVM-UNet and SwinUNETR", _bars("slices", (MSVM, "SwinUNETR"), "inference", 1)),
    "bars/msvm_step": Work("MSVM-UNet and SwinUNETR, training", _bars("slices", (MSVM, "SwinUNETR"), "training", 2)),
    "bars/mri": Work("xLSTM-UNet Bot and Enc and DynUNet", _bars("mri", (BOT, ENC, "DynUNet"), "inference", 1)),
    "bars/mri_step": Work("xLSTM-UNet Bot and Enc and DynUNet, training and its memory", bars.measure_steps),
    "bars/mri_step_bfloat16": Work("xLSTM-UNet Bot in 3D, training in both precisions", bars.measure_step_precisions),
    "bars/endoscopy_step": Work("xLSTM-UNet Enc and DynUNet in 2D, training", bars.measure_picture_steps),
    "bars/mlstm": Work("mlstm at twice the tokens", bars.measure_mlstm),
    "bars/vil_share": Work("ViL layers' share of Enc 3D", bars.measure_vil_share),
    "bars/enc_memory": Work("peak memory of Enc 3D", bars.measure_enc_memory),
    "bars/windows": Work("a volume in sliding windows beside MONAI's and nnU-Net's", windows.measure),
    "bars/cross_scan": Work("four-path scan beside the speed of the memory", bars.measure_cross_scan),
    "bars/bfloat16": Work("bfloat16 beside float32", lambda s: precision.measure(s, (MSVM, BOT), agree=False)),
}
"""By ``group/name``, in the order in which they are measured and shown."""
