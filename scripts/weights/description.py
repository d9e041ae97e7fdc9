"""What is in a weight file, and which bundles it fits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from components.files import read_json
from components.networks import load_published

from ..bundle.find import ROOT, bundles_in
from ..errors import UserError
from ..files import hexdigest
from .conversion import build_network
from .files import Contents, read
from .fitting import explain, shapes_of
from .guess import Guess, guess
from .settings import SHORTCUTS


def describe(path: Path) -> dict[str, Any]:
    """What is in a weight file, as JSON.

    Raises:
        Refused: if it is no such file, is damaged, or would run code.
    """
    contents = read(path)
    found = guess(shapes_of(contents.tensors))
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": hexdigest(path),
        "format": contents.format,
        "tensors": [
            {
                "name": name,
                "shape": list(tensor.shape),
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "bytes": tensor.numel() * tensor.element_size(),
            }
            for name, tensor in contents.tensors.items()
        ],
        "values": sum(tensor.numel() for tensor in contents.tensors.values()),
        "not_finite": [name for name, tensor in contents.tensors.items() if not _finite(tensor)],
        "metadata": dict(contents.metadata),
        "guess": None if found is None else {"words": found.words(), "published": found.published, **_settings(found)},
        "bundles": [] if found is None else _fitting(contents, found),
    }


def _settings(found: Guess) -> dict[str, Any]:
    return {"network": found.network, "part": found.part, "settings": dict(found.settings)}


def _finite(tensor: Tensor) -> bool:
    """Whether all values are finite.

    A file can make a huge tensor of a small storage that is repeated; then the values of the storage are checked.
    """
    if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.layout != torch.strided or tensor.is_meta:
        return True
    storage = tensor.untyped_storage()
    if tensor.numel() * tensor.element_size() > storage.nbytes():
        tensor = torch.empty(0, dtype=tensor.dtype).set_(storage)
    # isfinite does not know the types of 8 bits
    return bool(torch.isfinite(tensor.float() if tensor.element_size() == 1 else tensor).all())


def _fitting(contents: Contents, found: Guess) -> list[dict[str, Any]]:
    """For each bundle with this network, whether the file fits, and with which settings or why not."""
    answers = []
    for folder in bundles_in(ROOT / "bundles", "inference.json"):
        config = read_json(folder / "configs" / "inference.json")
        if not str(config["network_def"]["_target_"]).endswith(found.network):
            continue
        settings = {
            key: found.settings[key]
            for key in SHORTCUTS
            if key in config and found.settings.get(key, config[key]) != config[key]
        }
        try:
            with torch.device("meta"):
                network = build_network(folder, settings)
            reason = _reason(contents, network, found)
        except UserError as error:
            reason = str(error)
        answers.append({"bundle": folder.name, "fits": not reason, "override": settings, "reason": reason})
    return answers


def _reason(contents: Contents, network: nn.Module, found: Guess) -> str:
    """Why a file does not fit a network without values; empty if it does."""
    if not found.published:
        state = contents.whole.get("network", contents.whole)
        ours = {n: t for n, t in network.state_dict().items() if not found.part or n.startswith(f"{found.part}.")}
        same = shapes_of(ours) == {name: tuple(getattr(tensor, "shape", ())) for name, tensor in state.items()}
        return "" if same else explain(contents, network, found.part, ValueError("names or shapes differ"))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*no-op", category=UserWarning)
            load_published(network, contents.whole, part=found.part)
    except ValueError as error:
        return explain(contents, network, found.part, error)
    return ""
