"""``weights convert``: a published checkpoint becomes the weights of a bundle."""

from __future__ import annotations

import json
import os
import shlex
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import nn

from components import __version__
from components.files import replacing
from components.validation import check_choice

from ..data.dataset import read_json
from ..errors import UserError, root_cause
from ..hashes import hexdigest
from .files import Contents, read
from .fitting import Filled, explain, fill, shapes_of
from .guess import guess

PARTS = ("encoder",)
SHORTCUTS = ("variant", "encoder")
"""Settings of the bundles' networks that have a flag of their own."""


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
    from ..bundle.find import find_bundle

    if part is not None:
        check_choice("--part", part, PARTS)
    root = find_bundle(bundle)
    target = Path(out) if out else root / "models" / f"{part or 'model'}.pt"
    _check_target(target, Path(checkpoint), force)
    shortcuts = {key: value for key, value in zip(SHORTCUTS, (variant, encoder), strict=True) if value is not None}
    settings = {**shortcuts, **(override or {})}
    contents = read(checkpoint)
    _check_published(contents, checkpoint)

    network = build_network(root, settings)
    if part is not None and not hasattr(network, part):
        raise UserError(f"--part {part}: the network of {root.name} has no such part, leave it out")
    try:
        filled = fill(network, contents, part)
    except ValueError as error:
        reason = explain(contents, network, part, error, whole=verbose)
        raise UserError(f"{checkpoint} does not fit {root.name}: {reason}") from error

    record = _record(root.name, Path(checkpoint), contents, network, part, settings, licence, filled)
    _write(target, filled, record)
    _tell(target, root.name, part, settings, licence, filled, verbose)


def _check_target(target: Path, checkpoint: Path, force: bool) -> None:
    if target.suffix != ".pt" or target.is_dir():
        raise UserError(f"--out {target}: give the name of a file that ends with .pt, such as {target / 'model.pt'}")
    if checkpoint.exists() and target.exists() and target.samefile(checkpoint):
        raise UserError(f"--out {target} is the checkpoint itself: give another name")
    if not force:
        for path in (target, target.with_suffix(".json")):
            if path.exists():
                raise UserError(f"{path} exists already: add --force to replace it, or choose another name with --out")


def _check_published(contents: Contents, checkpoint: str) -> None:
    found = guess(shapes_of(contents.tensors))
    if found is not None and not found.published:
        raise UserError(
            f"{checkpoint} already has the names of scanseg: there is nothing to convert, copy it to models/ of a "
            "bundle"
        )


def build_network(root: Path, settings: dict[str, Any]) -> nn.Module:
    """The network of a bundle.

    Args:
        root: folder of the bundle.
        settings: values of its inference config to use instead, by id.

    Raises:
        UserError: if the bundle has no such setting, or the network cannot be built with them.
    """
    from ..bundle.inference import InferenceBundle

    config = read_json(root / "configs" / "inference.json")
    for key in SHORTCUTS:
        if key in settings and key not in config:
            raise UserError(f"--{key}: the network of {root.name} has no such setting, leave it out")
    try:
        return InferenceBundle(root, settings).get("network_def")
    except RuntimeError as error:  # MONAI's, around what the network itself said
        cause = root_cause(error)
        raise UserError(f"the network of {root.name} cannot be built with {flags_of(settings)}: {cause}") from error


def _record(
    bundle: str,
    checkpoint: Path,
    contents: Contents,
    network: nn.Module,
    part: str | None,
    settings: dict[str, Any],
    licence: str | None,
    filled: Filled,
) -> dict[str, Any]:
    """Content of the file beside the weights."""
    return {
        "kind": "published",
        "bundle": bundle,
        "network": type(network).__name__,
        "part": part,
        "override": settings,
        "licence": licence,
        "source": {
            "file": checkpoint.name,
            "bytes": checkpoint.stat().st_size,
            "sha256": hexdigest(checkpoint),
            "format": contents.format,
        },
        "converted": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "components_version": __version__,
        "tensors": [
            {"published": theirs, "name": ours, "shape": list(filled.state[ours].shape)}
            for theirs, ours in filled.origin.items()
        ],
        "values": filled.values,
        "unused": list(filled.unused),
    }


def _write(target: Path, filled: Filled, record: dict[str, Any]) -> None:
    """Write the weights and their record, both or neither."""
    with replacing(target.with_suffix(".json")) as note, replacing(target) as weights:
        with weights.open("wb") as file:
            torch.save(dict(filled.state), file)
            file.flush()
            os.fsync(file.fileno())
        record = {**record, "sha256": hexdigest(weights)}
        note.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def _tell(
    target: Path,
    bundle: str,
    part: str | None,
    settings: dict[str, Any],
    licence: str | None,
    filled: Filled,
    verbose: bool,
) -> None:
    if verbose:
        for theirs, ours in filled.origin.items():
            print(f"  {theirs} → {ours} {tuple(filled.state[ours].shape)}")
    for (theirs, ours), count in filled.groups().items():
        print(f"  {count:4} tensors  {theirs} → {ours}")
    if filled.unused:
        print(f"  {len(filled.unused):4} tensors  not needed, listed in {target.with_suffix('.json').name}")
    print(f"{target} is ready: {len(filled.state)} tensors, {filled.values / 1e6:.2f} million values, all in place")
    flags = flags_of(settings)
    if part == "encoder":
        print(f"Training of {bundle} starts from it with --encoder_weights {target.resolve()} {flags}".rstrip())
    elif flags:
        print(f"Evaluation and inference of {bundle} need the same settings: {flags}")
    if licence is None:
        print(f"Enter the licence under which it was published in {target.with_suffix('.json')} before you pass it on")


def flags_of(settings: dict[str, Any]) -> str:
    """Settings as the flags of a command line.

    Example:
        >>> flags_of({"variant": "enc", "patch_size": [64, 96]})
        "--variant enc --patch_size '[64, 96]'"
    """
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
    return " ".join(f"--{key} {shlex.quote(text)}" for key, text in texts.items())
