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
    """What the tensors show.

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
    candidates = (
        _msvm(shapes, r"encoder\.layer0\.0\.weight", r"encoder\.layers\.2\.blocks", r"decoder\.out_layers\.0\.out"),
        _vmamba(shapes),
        _msvm(shapes, r"encoder\.stem\.0\.conv\.weight", r"encoder\.stages\.2", r"head\.head", ours=True),
        _xlstm(shapes, r"decoder\.seg_layers", r"encoder\.stem\.0\.conv1\.(conv\.)?weight",
               r"encoder\.xlstm_layers\.\d", r"xlstm\.vil\."),
        _xlstm(shapes, "heads", r"stem\.0\.conv1\.weight", r"stage_layers\.\d", r"bottleneck\.", ours=True),
    )  # fmt: skip
    return next(filter(None, candidates), None)


OURS = "names of scanseg"


def _msvm(shapes: Shapes, stem: str, blocks: str, head: str, ours: bool = False) -> Guess | None:
    """MSVM-UNet by the names of its first convolution, of the blocks of its third stage and of its last layer."""
    if not _one(shapes, stem):
        return None
    found = _one(shapes, rf"{head}\.weight")
    settings = _encoder(shapes, rf"{blocks}\.(\d+)\.") | ({"num_classes": found[0]} if found else {})
    origin = OURS if ours else "names of the authors' Lightning files"
    return Guess(MSVM, origin, not ours, None if found else "encoder", settings)


def _vmamba(shapes: Shapes) -> Guess | None:
    if not _one(shapes, r"patch_embed\.0\.weight"):
        return None
    settings = _encoder(shapes, r"layers\.2\.blocks\.(\d+)\.")
    return Guess(MSVM, "VMamba, trained on ImageNet", True, "encoder", settings) if settings else None


def _xlstm(shapes: Shapes, heads: str, stem: str, enc: str, bot: str, ours: bool = False) -> Guess | None:
    """xLSTM-UNet by the names of its segmentation heads, its first convolution, and the layers of both variants."""
    numbered = {int(match[1]): shape for match, shape in _matches(shapes, rf"{heads}\.(\d+)\.weight", "$")}
    has_enc, has_bot = (next(_matches(shapes, layers), None) is not None for layers in (enc, bot))
    if not numbered or not (has_enc or has_bot):
        return None
    found = [numbered[number] for number in sorted(numbered)]  # coarsest first
    settings: dict[str, Any] = {"num_classes": found[0][0], "variant": "enc" if has_enc and not has_bot else "bot"}
    first = _one(shapes, stem)
    if first is not None and len(first) > 2:
        settings |= {"spatial_dims": len(first) - 2, "in_channels": first[1]}
    settings["features"] = [shape[1] for shape in reversed(found) if len(shape) > 1]
    return Guess(XLSTM, OURS if ours else "names of the authors' nnU-Net files", not ours, None, settings)


def _matches(shapes: Shapes, pattern: str, tail: str = "") -> Iterator[tuple[re.Match[str], tuple[int, ...]]]:
    regex = re.compile(rf"(?:^|\.){pattern}{tail}")
    return ((found, shape) for name, shape in shapes.items() if (found := regex.search(name)))


def _one(shapes: Shapes, pattern: str) -> tuple[int, ...] | None:
    return next((shape for _, shape in _matches(shapes, pattern, "$")), None)


def _encoder(shapes: Shapes, pattern: str) -> dict[str, Any]:
    depth = 1 + max((int(found[1]) for found, _ in _matches(shapes, pattern)), default=-1)
    if depth in ENCODER_DEPTHS:
        return {"encoder": ENCODER_DEPTHS[depth]}
    return {"encoder": f"of another depth ({depth} blocks in stage 3)"} if depth else {}
