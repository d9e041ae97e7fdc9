"""Which network a file of weights is of, from the names and shapes of its tensors alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]

MSVM, XLSTM = "MSVMUNet", "XLSTMUNet"
ENCODER_DEPTHS = {8: "tiny_0230s", 20: "small_0229s"}
"""Variants of the VMamba encoder by the number of blocks in the third stage."""


@dataclass(frozen=True)
class Guess:
    """What the tensors tell.

    Args:
        network: "MSVMUNet" or "XLSTMUNet".
        origin: whose names they have, as text.
        published: whether these are the authors' names.
        part: "encoder" where the file holds the encoder alone.
        settings: what the shapes say of the network's arguments, by the names that the bundles' configs use:
            ``encoder``, ``variant``, ``num_classes``, and ``spatial_dims``, ``in_channels``, ``features``.
    """

    network: str
    origin: str
    published: bool
    part: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def words(self) -> str:
        """One line."""
        name = {MSVM: "MSVM-UNet", XLSTM: "xLSTM-UNet"}[self.network]
        given = dict(self.settings)
        facts = [f"{given.pop(key)} {text}" for key, text in (("num_classes", "classes"),) if key in given]
        facts += [f"{key} {value}" for key, value in given.items()]
        return f"{name}{f', {self.part} only' if self.part else ''}, {', '.join(facts)} ({self.origin})"


def guess(shapes: Shapes) -> Guess | None:
    """Recognise the networks of scanseg, with the authors' names or with ours.

    Args:
        shapes: shape of each tensor of the file, by its name with whatever stands before it.

    Returns:
        The guess, or None for a file of another network.

    Example:
        >>> guess({"model.patch_embed.0.weight": (48, 3, 3, 3), "model.layers.2.blocks.7.norm.weight": (384,)}).words()
        'MSVM-UNet, encoder only, encoder tiny_0230s (VMamba, trained on ImageNet)'
    """
    for recognise in (_msvm_published, _vmamba, _msvm_ours, _xlstm_published, _xlstm_ours):
        if found := recognise(shapes):
            return found
    return None


def _msvm_published(shapes: Shapes) -> Guess | None:
    if not _one(shapes, r"encoder\.layer0\.0\.weight"):
        return None
    head = _one(shapes, r"decoder\.out_layers\.0\.out\.weight")
    settings = _encoder(shapes, r"encoder\.layers\.2\.blocks\.(\d+)\.") | _classes(head)
    return Guess(MSVM, "names of the authors' Lightning files", True, None if head else "encoder", settings)


def _vmamba(shapes: Shapes) -> Guess | None:
    if not _one(shapes, r"patch_embed\.0\.weight"):
        return None
    settings = _encoder(shapes, r"layers\.2\.blocks\.(\d+)\.")
    return Guess(MSVM, "VMamba, trained on ImageNet", True, "encoder", settings) if settings else None


def _msvm_ours(shapes: Shapes) -> Guess | None:
    if not _one(shapes, r"encoder\.stem\.0\.conv\.weight"):
        return None
    head = _one(shapes, r"head\.head\.weight")
    settings = _encoder(shapes, r"encoder\.stages\.2\.(\d+)\.") | _classes(head)
    return Guess(MSVM, "names of scanseg", False, None if head else "encoder", settings)


def _xlstm_published(shapes: Shapes) -> Guess | None:
    heads = _numbered(shapes, r"decoder\.seg_layers\.(\d+)\.weight")
    if not heads:
        return None
    enc, bot = _any(shapes, r"encoder\.xlstm_layers\.\d"), _any(shapes, r"xlstm\.vil\.")
    settings = _plan(heads, _one(shapes, r"encoder\.stem\.0\.conv1\.(conv\.)?weight"), enc, bot)
    return Guess(XLSTM, "names of the authors' nnU-Net files", True, None, settings) if enc or bot else None


def _xlstm_ours(shapes: Shapes) -> Guess | None:
    heads = _numbered(shapes, r"heads\.(\d+)\.weight")
    if not heads:
        return None
    enc, bot = _any(shapes, r"stage_layers\.\d"), _any(shapes, r"bottleneck\.")
    settings = _plan(heads, _one(shapes, r"stem\.0\.conv1\.weight"), enc, bot)
    return Guess(XLSTM, "names of scanseg", False, None, settings) if enc or bot else None


def _matches(shapes: Shapes, pattern: str, tail: str = "") -> Iterator[tuple[re.Match[str], tuple[int, ...]]]:
    regex = re.compile(rf"(?:^|\.){pattern}{tail}")
    return ((found, shape) for name, shape in shapes.items() if (found := regex.search(name)))


def _one(shapes: Shapes, pattern: str) -> tuple[int, ...] | None:
    return next((shape for _, shape in _matches(shapes, pattern, "$")), None)


def _any(shapes: Shapes, pattern: str) -> bool:
    return next(_matches(shapes, pattern), None) is not None


def _numbered(shapes: Shapes, pattern: str) -> list[tuple[int, ...]]:
    """Shapes of tensors that are counted through, in that order."""
    found = {int(match[1]): shape for match, shape in _matches(shapes, pattern, "$")}
    return [found[number] for number in sorted(found)]


def _encoder(shapes: Shapes, pattern: str) -> dict[str, Any]:
    depth = 1 + max((int(found[1]) for found, _ in _matches(shapes, pattern)), default=-1)
    if depth in ENCODER_DEPTHS:
        return {"encoder": ENCODER_DEPTHS[depth]}
    return {"encoder": f"of another depth ({depth} blocks in stage 3)"} if depth else {}


def _classes(head: tuple[int, ...] | None) -> dict[str, Any]:
    return {"num_classes": head[0]} if head else {}


def _plan(heads: list[tuple[int, ...]], stem: tuple[int, ...] | None, enc: bool, bot: bool) -> dict[str, Any]:
    """Facts of xLSTM-UNet from its segmentation heads, coarsest first, and its first convolution."""
    settings: dict[str, Any] = {"num_classes": heads[0][0], "variant": "enc" if enc and not bot else "bot"}
    if stem is not None and len(stem) > 2:
        settings |= {"spatial_dims": len(stem) - 2, "in_channels": stem[1]}
    return settings | {"features": [shape[1] for shape in reversed(heads) if len(shape) > 1]}
