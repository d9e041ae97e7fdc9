"""Measure, show, and make the page of the documentation."""

from __future__ import annotations

import datetime
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.bench.session import Row, Session, Settings
from scripts.bench.works import checked_settings, choose, listing, measure
from scripts.errors import UserError
from scripts.hints import Count, Seed, check_arguments, separated

from . import limits
from .precision import bundle_of
from .records import FORMAT, read_record, write_docs, write_folder, write_record
from .tables import Record, tables
from .works import GROUPS, PRESETS, WORKS


def run(
    work: str = "bars",
    repeats: Count | None = None,
    threads: Count | None = None,
    out: str | None = None,
    quick: bool = False,
    device: str = "cpu",
    weights: str | None = None,
    seed: Seed = 0,
    from_json: str | None = None,
    docs: str | None = None,
    list_works: bool = False,
) -> None:
    """Time our kernels, networks and bundles beside MONAI's, and hold them against the project's bars.

    Ratios are medians of the ratios of each round. The process ends with status 1 where nothing could be measured.

    Args:
        work: bars (what the bars need), page (what docs/benchmarks.md shows), all, groups or single works, with commas
            between; --list_works names them.
        repeats: timed runs of each alternative; 7 by default, 2 with --quick.
        threads: CPU threads; by default as many as PyTorch takes.
        out: folder for bench.json (all raw times), bench.md (tables) and pictures.
        quick: tiny networks and inputs, to see that everything runs; the numbers are meaningless.
        device: cpu or cuda.
        weights: file of trained weights of a bundle, to compare label maps in bfloat16 and float32 (networks/bfloat16).
        seed: of inputs and weights.
        from_json: bench.json of an earlier measurement, to make tables and pictures of it without measuring.
        docs: Markdown file to write as a page of the documentation; its pictures go to images/benchmarks beside it.
        list_works: only list what there is to measure.
    """
    check_arguments(run, {"repeats": repeats, "threads": threads, "seed": seed, "quick": quick})
    if list_works:
        print(listing(WORKS, GROUPS))
        print(*(f"{name}: {', '.join(works)}" for name, works in PRESETS.items()), sep="\n")
        return
    if from_json is not None:
        record = read_record(Path(from_json))
        _check_folder(out, Path(from_json))
    else:
        asked = [name for word in separated(work) for name in PRESETS.get(word, (word,))]
        names = choose(asked, WORKS, GROUPS)
        _check_folder(out)
        if weights is not None:
            if "networks/bfloat16" not in names:
                raise UserError("--weights is for networks/bfloat16: add --work networks/bfloat16")
            bundle_of(weights)
        settings = checked_settings(repeats, threads, quick, device, seed, weights)
        record = measured(names, settings, Path(out) if out else None)
    _show(record)
    if out is not None:
        write_record(record, Path(out))
        write_folder(record, Path(out))
        print(f"{out} has bench.json, bench.md and the pictures")
    if docs is not None:
        write_docs(record, Path(docs))
        print(f"{docs} is written")
    if all("failed" in row for row in record["rows"]):
        sys.exit(1)


def measured(names: Sequence[str], settings: Settings, out: Path | None = None) -> dict[str, Any]:
    """Measure works one after the other.

    Args:
        names: of the works.
        settings: how to measure.
        out: folder whose ``bench.json`` is written anew after each work, so that an interrupted measurement is kept.

    Returns:
        The content of ``bench.json``.
    """
    record: dict[str, Any] = {
        "format": FORMAT,
        "date": datetime.date.today().isoformat(),
        "command": _command(sys.argv[1:]),
        "works": list(names),
        "settings": {key: getattr(settings, key) for key in ("repeats", "threads", "seed", "quick", "device")},
        "machine": {},
        "rows": [],
    }

    def look(session: Session) -> None:
        record["machine"] = limits.measure(settings, session.tell)

    def keep(rows: list[Row]) -> None:
        record["rows"] = rows
        if out is not None:
            write_record(record, out)

    keep(measure({name: WORKS[name] for name in names}, settings, keep, look))
    return record


def _command(words: Sequence[str]) -> str:
    """The command line without the places of what it writes."""
    kept, places = ["python", "-m", "benchmarks"], ("--out", "--docs")
    for before, word in zip(["", *words], words, strict=False):
        if before not in places and word.partition("=")[0] not in places:
            kept.append(word)
    return shlex.join(kept)


def _check_folder(out: str | None, source: Path | None = None) -> None:
    """Refuse to write over another measurement."""
    if out is None:
        return
    folder, file = Path(out), Path(out) / "bench.json"
    if folder.is_file():
        raise UserError(f"--out {out} is a file: give a folder")
    if file.is_file() and (source is None or file.resolve() != source.resolve()):
        raise UserError(f"{file} holds a measurement already: choose another folder with --out, or delete it")


def _show(record: Record) -> None:
    found = tables(record)
    for group in sorted(found, key=lambda name: name == "bars"):  # the summary last, where it is seen
        for table in found[group]:
            print(table.text(), end="\n\n")
    failed = sum("failed" in row for row in record["rows"])
    if failed:
        print(f"{failed} of {len(record['rows'])} measurements were not possible, see !")
    if record["settings"]["quick"]:
        print("A quick run with tiny networks and inputs: the numbers are meaningless")
