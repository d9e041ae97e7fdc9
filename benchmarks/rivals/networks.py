"""The networks that are trained: each as an override of a bundle's configs, with the optimiser of its authors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from monai.networks.nets import DynUNet
from torch import Tensor

from components.validation import check_choice
from scripts.new.short import LEARNING_RATE, ONE_CYCLE, mixed_here
from scripts.new.topology import augmented_size

Json = dict[str, Any]
NNUNET = "nnunet"
SHORT = "+short"
"""After the name of a network: trained with AdamW in one cycle, as ``new --budget`` plans it, not as its authors do."""
KEPT = ("_requires_", "spatial_dims", "in_channels", "out_channels")
ADAMW = ONE_CYCLE["optimizer"]
WARM_COSINE = {
    "_target_": "monai.optimizers.WarmupCosineSchedule",
    "optimizer": "@optimizer",
    "warmup_steps": 1,
    "t_total": "$@max_epochs + 1",
    "warmup_multiplier": 0.1,
}


class SupervisedDynUNet(DynUNet):
    """MONAI's DynUNet, whose outputs in training are a list, each at its own size, as nnU-Net's loss takes them.

    MONAI's own are enlarged to the size of the input and stacked. Arguments are those of ``DynUNet``.
    """

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits of the input's size; in training a list of them, the finest first."""
        logits = self.output_block(self.skip_layers(x))
        return [logits, *self.heads] if self.training and self.deep_supervision else logits


def _dynunet(network: Json) -> Json:
    strides = network["strides"]
    return {
        "_target_": f"{__name__}.SupervisedDynUNet",
        "kernel_size": network["kernel_sizes"],
        "strides": strides,
        "upsample_kernel_size": strides[1:],
        "filters": network["features"],
        "res_block": True,
        "deep_supervision": len(strides) > 2,
        "deep_supr_num": max(1, len(strides) - 2),
    }


def _segresnet(network: Json) -> Json:
    return {"_target_": "SegResNet", "init_filters": 32}


def _swinunetr(network: Json) -> Json:
    return {"_target_": "SwinUNETR", "feature_size": 48}


@dataclass(frozen=True)
class Rival:
    """A network and how it is trained.

    Args:
        title: name in tables.
        optimiser: in words, with its source.
        ours: whether it is one of ours.
        base: the bundle that it changes: "xlstm" or "msvm"; "nnunet" for nnU-Net itself.
        settings: top-level values that differ from the bundle's.
        network: makes network_def from that of the bundle; None keeps it.
        divisor: the patch is rounded to multiples of it.
    """

    title: str
    optimiser: str
    ours: bool = False
    base: str = "xlstm"
    settings: Json = field(default_factory=dict)
    network: Callable[[Json], Json] | None = None
    divisor: int = 1


RIVALS = {
    "bot": Rival("xLSTM-UNet Bot", "SGD, as its authors (the bundle's recipe)", True, settings={"variant": "bot"}),
    "enc": Rival("xLSTM-UNet Enc", "SGD, as its authors (the bundle's recipe)", True, settings={"variant": "enc"}),
    "msvm": Rival("MSVM-UNet, slices", "AdamW, cosine, as its authors (the bundle's recipe)", True, "msvm"),
    "dynunet": Rival(
        "DynUNet, residual",
        "SGD 0.01, momentum 0.99, as MONAI's DynUNet pipeline and nnU-Net",
        settings={"learning_rate": 0.01},
        network=_dynunet,
    ),
    "segresnet": Rival(
        "SegResNet",
        "AdamW 0.0002, cosine, as its author in Auto3DSeg",
        settings={"learning_rate": 2e-4, "weight_decay": 1e-5, "optimizer": ADAMW, "lr_scheduler": WARM_COSINE},
        network=_segresnet,
        divisor=8,
    ),
    "swinunetr": Rival(
        "SwinUNETR",
        "AdamW 0.0001, cosine, as its authors for BTCV",
        settings={"learning_rate": 1e-4, "weight_decay": 1e-5, "optimizer": ADAMW, "lr_scheduler": WARM_COSINE},
        network=_swinunetr,
        divisor=32,
    ),
    NNUNET: Rival("nnU-Net 2.8", "SGD 0.01, its own training", base=NNUNET),
}
DEFAULT = ("bot", "enc", "msvm", "dynunet", "segresnet", "swinunetr", NNUNET, "bot+short", "dynunet+short")


def rival(name: str) -> Rival:
    """A network by name, such as "bot" or "dynunet+short".

    Raises:
        ValueError: if there is none.
    """
    plain = name.removesuffix(SHORT)
    check_choice("network", plain, RIVALS)
    found = RIVALS[plain]
    if plain == name:
        return found
    if plain == NNUNET:
        raise ValueError(f"{name}: nnU-Net is trained by its own commands")
    short = {"learning_rate": LEARNING_RATE[found.base], "weight_decay": 0.01, **ONE_CYCLE, "ema": True}
    return Rival(
        f"{found.title}, one cycle",
        "AdamW in one cycle and an average of the weights, as new --budget",
        found.ours,
        found.base,
        {**found.settings, **short},
        found.network,
        found.divisor,
    )


def override(name: str, config: Json) -> Json:
    """Top-level values of a bundle's configs that make it train a network.

    Args:
        name: of the network.
        config: the bundle's train.json.
    """
    found = rival(name)
    values = dict(found.settings)
    if found.network is not None:
        network = config["network_def"]
        values["network_def"] = {key: network[key] for key in KEPT} | found.network(network)
    if found.base == "xlstm":
        values["amp"] = mixed_here()
        patch = rounded(config["patch_size"], found.divisor)
        if patch != config["patch_size"]:
            values |= {"patch_size": patch, "augmented_size": list(augmented_size(patch))}
    return values


def rounded(patch: Sequence[int], divisor: int) -> list[int]:
    """A patch as the nearest multiples of a number.

    Example:
        >>> rounded([40, 56, 40], 32)
        [32, 64, 32]
    """
    return [max(1, int(size / divisor + 0.5)) * divisor for size in patch]


def parameters(network: torch.nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
