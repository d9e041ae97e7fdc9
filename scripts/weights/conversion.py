"""Weights of a bundle from a published file, and the record of where they come from."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import nn

from components import __version__
from components.files import read_json, replacing

from ..bundle.inference import InferenceBundle
from ..errors import UserError, root_cause
from ..files import hexdigest
from .files import Contents, read
from .fitting import Filled, explain, fill, shapes_of
from .guess import guess
from .settings import SHORTCUTS, flags_of


def write_converted(
    target: Path,
    root: Path,
    checkpoint: str,
    part: str | None,
    settings: dict[str, Any],
    licence: str | None,
    verbose: bool,
) -> None:
    """Fill the network of a bundle from a published file, and write its weights, their record and what was done.

    Args:
        target: file to write, with the record beside it.
        root: folder of the bundle.
        checkpoint: the published file.
        part: "encoder" for a file of the encoder alone.
        settings: values of the bundle's inference config to use instead, by id.
        licence: terms under which the file was published.
        verbose: whether to list every tensor.

    Raises:
        UserError: if the file is none of the authors', or does not fit.
    """
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
