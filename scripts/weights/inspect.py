"""``weights inspect``: list the content of a weights file."""

from __future__ import annotations

import json as json_text
import shlex
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from components.networks import load_published

from ..arguments import PROGRAM
from ..bundle.find import ROOT, bundles_in
from ..data.dataset import read_json
from ..errors import UserError
from ..hashes import hexdigest
from ..tables import aligned
from .convert import SHORTCUTS, build_network, flags_of
from .files import Contents, Refused, read
from .fitting import explain, shapes_of
from .guess import Guess, guess
from .pickles import analyse_file

SHOWN = 40
"""Lines of metadata; all of them with --json."""


def inspect(checkpoint: str, json: bool = False) -> int:
    """List the content of a weights file, without running anything in it.

    It lists tensors, other values, the network that they belong to and the bundles that it fits. A file that would run
    code when it is loaded is not loaded: its opcodes are read, and what it would call is listed.

    Args:
        checkpoint: a .pth, .ckpt, .pt, .pkl or .safetensors file.
        json: whether to print everything as JSON.

    Returns:
        0, or 1 for a file that is refused, damaged or has values that are not finite.

    Example:
        scanseg weights inspect vssm1_tiny_0230s_ckpt_epoch_264.pth
    """
    path = Path(checkpoint)
    try:
        contents = read(path)
    except Refused as error:
        return _refused(path, error, json)
    record = describe(path, contents)
    if json:
        print(json_text.dumps(record, indent=2, ensure_ascii=False))
    else:
        _print(record)
    return 1 if record["not_finite"] else 0


def describe(path: Path, contents: Contents) -> dict[str, Any]:
    """What is in a file, as JSON.

    Args:
        path: the file.
        contents: what was read from it.
    """
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


def _refused(path: Path, error: Refused, json: bool) -> int:
    globals_ = analyse_file(path).globals
    if json:
        rows = [vars(found) for found in globals_]
        print(json_text.dumps({"file": str(path), "refused": str(error), "globals": rows}, indent=2))
    else:
        if globals_:
            cells = [(g.verdict, f"{g.name}{f': {g.reason}' if g.reason else ''}") for g in globals_]
            print(aligned(cells, indent="  "))
    print(f"{PROGRAM}: {error}", file=sys.stderr)
    return 1


def _print(record: dict[str, Any]) -> None:
    rows = [
        (t["name"], " × ".join(map(str, t["shape"])) or "number", t["dtype"], f"{t['bytes']} bytes")
        for t in record["tensors"]
    ]
    if rows:
        print(aligned(rows, indent="  "))
    for place, (name, text) in enumerate(record["metadata"].items()):
        if place == SHOWN:
            print(f"  … {len(record['metadata']) - SHOWN} more values: --json shows all")
            break
        print(f"  {name or 'content'} = {text}")
    print(f"{record['file']}: {record['format']}, {record['bytes']} bytes, sha256 {record['sha256']}")
    kinds = ", ".join(f"{count} {dtype}" for dtype, count in Counter(row[2] for row in rows).items())
    print(f"{len(rows)} tensors ({kinds or 'none'}), {record['values'] / 1e6:.2f} million values")
    if wrong := record["not_finite"]:
        print(
            f"{len(wrong)} tensors hold values that are not finite: {', '.join(wrong[:5])}{', …' if wrong[5:] else ''}"
        )
    print(f"network: {record['guess']['words'] if record['guess'] else 'not one of scanseg'}")
    for answer in record["bundles"]:
        flags = flags_of(answer["override"])
        print(f"  {answer['bundle']}: {_answer(record, answer, flags)}")


def _answer(record: dict[str, Any], answer: dict[str, Any], flags: str) -> str:
    if not answer["fits"]:
        return f"does not fit: {answer['reason']}"
    if not record["guess"]["published"]:
        return "fits as it is" + (f", with {flags}" if flags else "")
    part = f" --part {record['guess']['part']}" if record["guess"]["part"] else ""
    command = f"weights convert --bundle {answer['bundle']} --checkpoint {shlex.quote(record['file'])}{part}"
    return f"fits: {PROGRAM} {command}{f' {flags}' if flags else ''}"
