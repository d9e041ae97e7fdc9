"""The networks that are measured, and the images that they get."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.files import read_json
from components.networks import MSVMUNet, XLSTMUNet
from components.validation import check_choice

from ..bundle.find import find_bundle
from ..new.topology import topology
from .session import Settings
from .timing import Run

MSVM, BOT, ENC = "MSVM-UNet", "xLSTM-UNet Bot", "xLSTM-UNet Enc"
NETWORKS = (MSVM, BOT, ENC)
PLANS = ("slices", "mri", "endoscopy")
MODES = ("inference", "inference, bfloat16", "training", "training, use_checkpoint", "training, bfloat16")


@dataclass(frozen=True)
class NetworkPlan:
    """An input, and the stages of the U-Nets for it.

    Args:
        in_channels: channels of the input.
        out_channels: number of classes.
        patch_size: height and width, or depth, height and width.
        features: channels of each stage.
        kernel_sizes: of each stage.
        strides: into each stage.
        quick: whether the networks that take no plan are tiny, too.
    """

    in_channels: int
    out_channels: int
    patch_size: tuple[int, ...]
    features: tuple[int, ...]
    kernel_sizes: tuple[Any, ...]
    strides: tuple[Any, ...]
    quick: bool = False

    @property
    def dims(self) -> int:
        """2 or 3."""
        return len(self.patch_size)

    def input(self, batch: int, size: Sequence[int] | None = None) -> tuple[int, ...]:
        """Shape of a batch of the planned or another size."""
        return (batch, self.in_channels, *(size or self.patch_size))


@functools.cache
def plan(name: str, quick: bool = False) -> NetworkPlan:
    """A plan by name.

    ``slices``: CT slices of 224², 9 classes, stages by nnU-Net's rules for the networks that need a plan. ``mri`` and
    ``endoscopy``: those of the bundles xlstm_abdomen_mri_3d and xlstm_endoscopy.

    Args:
        name: one of :data:`PLANS`.
        quick: a few narrow stages and a small patch instead.
    """
    check_choice("plan", name, PLANS)
    if name == "slices":
        found = topology((1.0, 1.0), (224, 224))
        full = NetworkPlan(1, 9, found.patch_size, found.features, found.kernel_sizes, found.strides)
        patch = (64, 64)
    else:
        bundle, patch = {
            "mri": ("xlstm_abdomen_mri_3d", (16, 32, 32)),
            "endoscopy": ("xlstm_endoscopy", (64, 64)),
        }[name]
        full = of_bundle(read_json(find_bundle(bundle) / "configs" / "train.json"))
    if not quick:
        return full
    narrow = tuple(width // 8 for width in full.features[:4])
    return NetworkPlan(
        full.in_channels, full.out_channels, patch, narrow, full.kernel_sizes[:4], full.strides[:4], True
    )


def of_bundle(config: Mapping[str, Any]) -> NetworkPlan:
    """Plan of an xLSTM-UNet bundle.

    Args:
        config: its train.json.
    """
    network = config["network_def"]
    stages = (tuple(network[key]) for key in ("features", "kernel_sizes", "strides"))
    return NetworkPlan(network["in_channels"], len(config["class_names"]) + 1, tuple(config["patch_size"]), *stages)


def build(name: str, plan: NetworkPlan, size: Sequence[int] | None = None, use_checkpoint: bool = False) -> nn.Module:
    """Make a network with random weights.

    Args:
        name: one of :data:`NETWORKS`.
        plan: its input and stages.
        size: of the input, where it is not the planned one.
        use_checkpoint: recompute activations in the backward pass.

    Raises:
        ValueError: if there is no such network, or it does not take the size.
    """
    check_choice("network", name, NETWORKS)
    patch, quick = tuple(size or plan.patch_size), plan.quick
    common = {"spatial_dims": plan.dims, "in_channels": plan.in_channels, "out_channels": plan.out_channels}
    if name == MSVM:
        tiny = {"features": (8, 16, 32, 64), "depths": (1, 1, 1, 1)} if quick else {}
        return MSVMUNet(plan.in_channels, plan.out_channels, use_checkpoint=use_checkpoint, **tiny)
    stages = {"features": plan.features, "kernel_sizes": plan.kernel_sizes, "strides": plan.strides}
    variant = "bot" if name == BOT else "enc"
    return XLSTMUNet(**common, variant=variant, patch_size=patch, **stages, use_checkpoint=use_checkpoint)


Build = Callable[..., nn.Module]
"""Makes a network, as :func:`build` does."""


def run(network: nn.Module, x: Tensor, mode: str) -> Run:
    """A forward pass or a training step: forward, cross-entropy, backward and AdamW.

    Args:
        network: on the device of ``x``.
        x: the input.
        mode: one of :data:`MODES`; in bfloat16 under autocast.
    """
    check_choice("mode", mode, MODES)
    kind = x.device.type
    half = "bfloat16" in mode
    if mode.startswith("inference"):
        network.eval()

        def forward() -> Tensor:
            with torch.no_grad(), torch.autocast(kind, torch.bfloat16, enabled=half):
                return network(x)

        return forward
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=1e-4)
    labels = torch.zeros(x.shape[0], *x.shape[2:], dtype=torch.long, device=x.device)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(kind, torch.bfloat16, enabled=half):
            logits = network(x)
        nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


@dataclass(frozen=True)
class Subject:
    """A network on an input; the seed of the settings gives the same weights and numbers each time.

    Args:
        name: of the network.
        plan: name of its plan, one of :data:`PLANS`.
        batch: images in the input.
        size: of the input; the planned one by default.
        build: makes the network.
    """

    name: str
    plan: str
    batch: int = 1
    size: tuple[int, ...] | None = None
    build: Build = build

    def shape(self, settings: Settings) -> tuple[int, ...]:
        """Shape of the input."""
        return plan(self.plan, settings.quick).input(self.batch, self.size)

    def make(self, settings: Settings, use_checkpoint: bool = False) -> tuple[nn.Module, Tensor]:
        """Make the network and the input on the device; errors as of :func:`build`."""
        torch.manual_seed(settings.seed)
        x = torch.randn(self.shape(settings)).to(settings.device)
        network = self.build(self.name, plan(self.plan, settings.quick), self.size, use_checkpoint)
        return network.to(settings.device), x

    def run(self, settings: Settings, mode: str) -> Run:
        """Make both, and return the run of a mode, one of :data:`MODES`."""
        return run(*self.make(settings, "use_checkpoint" in mode), mode)
