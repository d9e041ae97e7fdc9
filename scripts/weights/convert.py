"""``weights convert``: a published checkpoint becomes the weights of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.validation import check_choice

from ..bundle.find import find_bundle
from ..errors import UserError
from .formats import sniff
from .settings import SHORTCUTS

PARTS = ("encoder",)


def convert(
    bundle: str,
    checkpoint: str,
    part: str | None = None,
    out: str | None = None,
    variant: str | None = None,
    encoder: str | None = None,
    override: dict[str, Any] | None = None,
    licence: str | None = None,
    force: bool = False,
    verbose: bool = False,
) -> None:
    """Turn a published checkpoint into the weights of a bundle.

    It takes MSVM-UNet's Lightning files, nnU-Net's files of xLSTM-UNet, and, with --part encoder, VMamba's ImageNet
    files, from which a training starts its encoder. Nothing in the file is run, and nothing is written unless every
    tensor matches. With the weights, NAME.pt, a record is written, NAME.json: where they come from, and which tensor
    went where.

    Args:
        bundle: name of a bundle, or its folder.
        checkpoint: the published file.
        part: "encoder" for a file that holds only the encoder.
        out: file to write; by default models/model.pt of the bundle, or models/encoder.pt for the encoder.
        variant: "bot" or "enc", where the file's differs from the bundle's.
        encoder: "tiny_0230s" or "small_0229s", where the file's differs from the bundle's.
        override: other values of the bundle's inference config, by id.
        licence: terms under which the file was published, for NAME.json.
        force: whether to replace existing weights.
        verbose: whether to list every tensor.

    Example:
        scanseg weights convert --bundle msvm_synapse --checkpoint synapse.ckpt
        scanseg weights convert --bundle msvm_synapse --checkpoint vssm1_tiny_0230s_ckpt_epoch_264.pth --part encoder
    """
    if part is not None:
        check_choice("--part", part, PARTS)
    root = find_bundle(bundle)
    target = Path(out) if out else root / "models" / f"{part or 'model'}.pt"
    _check_target(target, Path(checkpoint), force)
    given = {key: value for key, value in zip(SHORTCUTS, (variant, encoder), strict=True) if value is not None}
    sniff(Path(checkpoint))  # what is no weight file is refused here, before PyTorch is imported

    from .conversion import write_converted

    write_converted(target, root, checkpoint, part, {**given, **(override or {})}, licence, verbose)


def _check_target(target: Path, checkpoint: Path, force: bool) -> None:
    if target.suffix != ".pt" or target.is_dir():
        raise UserError(f"--out {target}: give the name of a file that ends with .pt, such as {target / 'model.pt'}")
    if checkpoint.exists() and target.exists() and target.samefile(checkpoint):
        raise UserError(f"--out {target} is the checkpoint itself: give another name")
    if not force:
        for path in (target, target.with_suffix(".json")):
            if path.exists():
                raise UserError(f"{path} exists already: add --force to replace it, or choose another name with --out")
