"""``weights inspect``: list the content of a weights file."""

from __future__ import annotations

import json as json_text
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ..arguments import PROGRAM
from ..tables import aligned
from .formats import Refused, sniff
from .pickles import analyse_file
from .settings import flags_of

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
        sniff(path)  # what is no weight file is refused here, before PyTorch is imported

        from .description import describe

        record = describe(path)
    except Refused as error:
        return _refused(path, error, json)
    if json:
        print(json_text.dumps(record, indent=2, ensure_ascii=False))
    else:
        _print(record)
    return 1 if record["not_finite"] else 0


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
