"""MSVM-UNet: multi-scale vision Mamba U-Net (Chen et al., 2024, arXiv 2408.13735)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..blocks.patch_expand import PatchExpand
from ..blocks.vss import VSSUpBlock
from ..executor import executing
from ..validation import check_choice
from .inputs import plain
from .published import load_published
from .vmamba import VMambaEncoder

FEATURES = (96, 192, 384, 768)


class EncoderPlan(NamedTuple):
    """Depths of the four stages of a VMamba encoder, and the drop path rate it is trained with."""

    depths: tuple[int, int, int, int]
    drop_path_rate: float


ENCODERS = {
    "tiny_0230s": EncoderPlan((2, 2, 8, 2), 0.2),
    "small_0229s": EncoderPlan((2, 2, 20, 2), 0.3),
}


class MSVMUNet(nn.Module):
    """MSVM-UNet for images: VMamba encoder, decoder with multi-scale FFNs and large-kernel patch expanding.

    Args:
        in_channels: channels of the input; 1 is repeated to the 3 that the encoder is pre-trained with.
        out_channels: number of classes, background included.
        encoder: "tiny_0230s" (35.93 M parameters with 9 classes) or "small_0229s".
        features: channels of the four stages, each twice the one before, as in the paper by default.
        depths: VSS blocks of the four encoder stages; by default those of ``encoder``.
        drop_path_rate: of the last encoder block; by default that of ``encoder``.
        decoder_drop_path_rate: of the first decoder block; falls linearly to 0.
        encoder_weights: path of a VMamba ImageNet checkpoint, to start the encoder from.
        use_checkpoint: activation checkpointing: recompute the VSS blocks in the backward pass.

    Shape:
        (B, in_channels, H, W) to logits (B, out_channels, H, W); H and W divisible by 32.

    Raises:
        ValueError: for wrong arguments, and in ``forward`` for an input that does not fit.

    Example:
        >>> MSVMUNet(in_channels=1, out_channels=9)(torch.randn(2, 1, 64, 64)).shape
        torch.Size([2, 9, 64, 64])
    """

    stride: ClassVar[int] = 32

    input_weights: ClassVar[tuple[str, ...]] = ("encoder.stem.0.conv.weight",)

    published_names: ClassVar[tuple[tuple[str, str | None], ...]] = (
        (r"^encoder\.(classifier|head|norm)\..*", None),
        (r"^encoder\.patch_embed\.([0-4])\.", r"encoder.layer0.\1."),
        (r"^encoder\.patch_embed\.5\.", "encoder.layer1.0."),
        (r"^encoder\.patch_embed\.7\.", "encoder.layer1.2."),
        (r"^encoder\.layer([01])\.0\.", r"encoder.stem.\1.conv."),
        (r"^encoder\.layer([01])\.2\.", r"encoder.stem.\1.norm."),
        (r"^encoder\.layers\.(\d)\.downsample\.", r"encoder.downsamples.\1."),
        (r"^encoder\.downsamples\.(\d)\.1\.", r"encoder.downsamples.\1.conv."),
        (r"^encoder\.downsamples\.(\d)\.3\.", r"encoder.downsamples.\1.norm."),
        (r"^decoder\.out_layers\.0\.out\.", "head.head."),
        (r"^decoder\.out_layers\.0\.", "head."),
        (r"^decoder\.layers\.(\d)\.up\.", r"decoder.\1.expand."),
        (r"^decoder\.layers\.(\d)\.concat_layer\.", r"decoder.\1.reduce."),
        (r"^decoder\.layers\.(\d)\.vss_layer\.", r"decoder.\1."),
        (r"^(head|decoder\.\d\.expand)\.expand\.0\.", r"\1.expand."),
        (r"^(head|decoder\.\d\.expand)\.expand\.1\.", r"\1.batch_norm."),
        (r"^(head|decoder\.\d\.expand)\.expand\.3\.", r"\1.depthwise."),
        (r"(\.blocks\.\d+)\.(ln_1|norm)\.", r"\1.norm1."),
        (r"(\.blocks\.\d+)\.ln_2\.", r"\1.norm2."),
        (r"(\.blocks\.\d+)\.(self_attention|op)\.", r"\1.ss2d."),
        (r"\.ss2d\.conv2d\.", ".ss2d.conv."),
        (r"\.mlp\.multiscale_conv\.dw_convs\.", ".ffn.multi_scale.convs."),
        (r"\.mlp\.", ".ffn."),
        (r"^encoder\.layers\.(\d)\.blocks\.", r"encoder.stages.\1."),
    )

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 9,
        encoder: str = "tiny_0230s",
        features: Sequence[int] = FEATURES,
        depths: Sequence[int] | None = None,
        drop_path_rate: float | None = None,
        decoder_drop_path_rate: float = 0.2,
        encoder_weights: str | None = None,
        use_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        check_choice("encoder", encoder, ENCODERS)
        if in_channels < 1 or out_channels < 1:
            raise ValueError(f"in_channels and out_channels must be at least 1, got {in_channels} and {out_channels}")
        if len(features) != 4 or any(b != 2 * a for a, b in itertools.pairwise(features)):
            raise ValueError(f"features must be four widths, each twice the one before, got {list(features)}")
        plan = ENCODERS[encoder]
        depths = plan.depths if depths is None else tuple(depths)
        if len(depths) != 4 or min(depths) < 1:
            raise ValueError(f"depths must be four numbers of at least 1, got {list(depths)}")

        self.in_channels = in_channels
        self.encoder_channels = 3 if in_channels == 1 else in_channels
        rate = plan.drop_path_rate if drop_path_rate is None else drop_path_rate
        self.encoder = VMambaEncoder(self.encoder_channels, features, depths, rate, use_checkpoint)
        rates = torch.linspace(decoder_drop_path_rate, 0, 6, device="cpu").split(2)
        self.decoder = nn.ModuleList(
            VSSUpBlock(width, pair.tolist(), use_checkpoint)
            for width, pair in zip(reversed(features[1:]), rates, strict=True)
        )
        self.head = PatchExpand(features[0], features[0], scale=4, head_channels=out_channels)
        if encoder_weights is not None:
            load_published(self, encoder_weights, part="encoder")

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of (B, in_channels, H, W)."""
        self._check(x)
        x = plain(x)
        if x.shape[1] == 1:
            x = x.expand(-1, self.encoder_channels, -1, -1)
        *skips, x = self.encoder(x.contiguous(memory_format=torch.channels_last))
        with executing(self, x) as run:
            for block, skip in zip(self.decoder, reversed(skips), strict=True):
                x = run(block, x, skip)
            return run(self.head, x)

    def _check(self, x: Tensor) -> None:
        if x.ndim != 4:
            raise ValueError(f"MSVMUNet needs images (B, {self.in_channels}, H, W), got shape {tuple(x.shape)}")
        if x.shape[1] not in (self.in_channels, 1):
            raise ValueError(f"MSVMUNet was built for in_channels={self.in_channels}, got {x.shape[1]} channels")
        height, width = x.shape[2:]
        if height % self.stride or width % self.stride or not height * width:
            padded = tuple(max(1, -(-size // self.stride)) * self.stride for size in (height, width))
            raise ValueError(
                f"MSVMUNet needs height and width divisible by {self.stride}, got {height} × {width}: "
                f"pad or resize the image to {padded[0]} × {padded[1]}"
            )
        if self.training and x.shape[0] * height * width == self.stride**2:
            raise ValueError(
                "MSVMUNet cannot train on one image of 32 × 32, as batch norm would see a single pixel: "
                "use a batch of 2 or more, or a larger image"
            )
