"""The networks that ours are compared with: MONAI's, for the same images and, where they take one, the same plan."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets import UNETR, DynUNet, SegResNet, SwinUNETR
from torch import nn

from components.validation import check_choice
from scripts.bench import models
from scripts.bench.models import NETWORKS, NetworkPlan

PEERS = ("DynUNet", "SegResNet", "SwinUNETR", "UNETR")


def build(name: str, plan: NetworkPlan, size: Sequence[int] | None = None, use_checkpoint: bool = False) -> nn.Module:
    """Make a network with random weights.

    Args:
        name: one of ours or :data:`PEERS`.
        plan: its input and stages.
        size: of the input, where it is not the planned one.
        use_checkpoint: recompute activations in the backward pass; of our networks only.

    Raises:
        ValueError: if there is no such network, or it does not take the size.
    """
    check_choice("network", name, (*NETWORKS, *PEERS))
    if name in NETWORKS:
        return models.build(name, plan, size, use_checkpoint)
    patch, quick = tuple(size or plan.patch_size), plan.quick
    common = {"spatial_dims": plan.dims, "in_channels": plan.in_channels, "out_channels": plan.out_channels}
    if name == "DynUNet":
        # kernel_size, strides, upsample_kernel_size, filters
        stages = (plan.kernel_sizes, plan.strides, plan.strides[1:], plan.features)
        return DynUNet(plan.dims, plan.in_channels, plan.out_channels, *stages, res_block=True)
    if name == "SegResNet":
        return SegResNet(**common, init_filters=8 if quick else 32)
    if name == "SwinUNETR":
        return SwinUNETR(**common, feature_size=12 if quick else 48)
    tiny = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 24, "num_heads": 2} if quick else {}
    return UNETR(**common, img_size=patch, **tiny)
