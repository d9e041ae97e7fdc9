"""``bench``: measure, show, and make the page of the documentation."""

from __future__ import annotations

import datetime
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..errors import UserError, reason
from ..memory import available, given
from ..predict.predictor import checked_device
from . import limits
from .guard import within_memory
from .output import FORMAT, read_records, write_docs, write_folder, write_record
from .plan import tables as plan_tables
from .precision import bundle_of
from .session import Row, Session, Settings
from .tables import Record, tables
from .works import WORKS, choose, listing

REPEATS, QUICK_REPEATS = 7, 2
BAR = "{desc} [{n_fmt}/{total_fmt}] {elapsed}{postfix}"
"""Progress: the work, how many are done, the time so far and what runs; works differ too much to tell the time left."""


def bench(
    work: str = "bars",
    repeats: int | None = None,
    threads: int | None = None,
    out: str | None = None,
    quick: bool = False,
    device: str = "cpu",
    weights: str | None = None,
    seed: int = 0,
    from_json: str | None = None,
    docs: str | None = None,
    plan: bool = False,
    memory: float | None = None,
    list_: bool = False,
) -> int:
    """Time our kernels, networks and bundles beside MONAI's, and measure their memory.

    Alternatives run in turns in one process after a warm-up, so that a machine whose speed drifts treats all alike;
    times are medians, ratios the median of the ratios. Peaks of memory are measured in fresh processes. What cannot
    run on this machine is told, and the others go on. Measure on a machine that does nothing else.

    Args:
        work: all, groups (kernels, networks, pipeline, epoch, inference, scaling, memory, bars) or single works, with
            commas between; --list names them.
        repeats: timed runs of each alternative; 7 by default, 2 with --quick.
        threads: CPU threads; by default as many as PyTorch takes.
        out: folder for bench.json (all raw times), bench.md (tables) and pictures.
        quick: tiny networks and inputs, to see that everything runs; the numbers say nothing.
        device: cpu or cuda.
        weights: file of trained weights of a bundle, to compare label maps in bfloat16 and float32 (networks/bfloat16).
        seed: of inputs and weights.
        from_json: bench.json of an earlier measurement, to make tables and pictures of it without measuring; several of
            one machine, with commas between, are joined.
        docs: Markdown file to write as a page of the documentation; its pictures go to images/benchmarks beside it.
        plan: only tell which batches of each bundle fit into the memory, with the time of a step if --from-json has it.
        memory: GiB to plan for; by default those of this machine.
        list_: only list what there is to measure.

    Returns:
        0, or 1 where nothing could be measured.

    Example:
        scanseg bench --work kernels,networks/msvm --out results
    """
    if list_:
        print(listing())
        return 0
    sources = [] if from_json is None else [Path(name) for name in from_json.split(",")]
    earlier = read_records(sources) if sources else None
    if plan:
        free = available() if memory is None else given(memory)
        if earlier is not None and earlier["settings"]["quick"]:
            raise UserError(
                f"{from_json} is of a quick run, whose times and peaks say nothing: measure without --quick"
            )
        print("\n\n".join(table.text() for table in plan_tables(free, [] if earlier is None else earlier["rows"])))
        return 0
    if memory is not None:
        raise UserError("--memory goes with --plan")
    if earlier is not None:
        _check_folder(out, sources[0] if len(sources) == 1 else None)
        _show(earlier)
        _write(earlier, out, docs)
        return 0
    names = choose(work)
    _check_folder(out)
    settings = _settings(repeats, threads, quick, device, weights, seed, names)
    record = measure(names, settings, Path(out) if out else None)
    _show(record)
    _write(record, out, docs)
    return int(not any("failed" not in row for row in record["rows"]))


def measure(names: Sequence[str], settings: Settings, out: Path | None = None) -> dict[str, Any]:
    """Measure works one after the other.

    Args:
        names: of the works.
        settings: how to measure.
        out: folder whose ``bench.json`` is written anew after each work, so that an interrupted measurement is kept.

    Returns:
        The content of ``bench.json``.
    """
    with (
        _threads(settings.threads),
        tempfile.TemporaryDirectory(prefix="scanseg-bench-") as folder,
        tqdm(total=len(names) + 1, disable=None, bar_format=BAR) as bar,
        within_memory(),
    ):
        session = Session(settings, Path(folder), bar=bar)
        bar.set_description("machine")
        session.machine = limits.measure(settings, session.tell)
        bar.update()
        record = {
            "format": FORMAT,
            "date": datetime.date.today().isoformat(),
            "command": _command(sys.argv[1:]),
            "works": list(names),
            "settings": {key: getattr(settings, key) for key in ("repeats", "threads", "seed", "quick", "device")},
            "machine": session.machine,
            "rows": [],
        }
        for name in names:
            bar.set_description(name)
            record["rows"] += [{"work": name, **row} for row in _rows(name, session)]
            if out is not None:
                write_record(record, out)
            bar.update()
    return record


def _command(words: Sequence[str]) -> str:
    """The command line without the places of what it writes."""
    if words[:1] != ["bench"]:
        return "scanseg bench"
    kept, places = ["scanseg"], ("--out", "--docs")
    for before, word in zip(["", *words], words, strict=False):
        if before not in places and word.partition("=")[0] not in places:
            kept.append(word)
    return shlex.join(kept)


def _rows(name: str, session: Session) -> Iterator[Row]:
    """Rows of a work; what goes wrong beside its alternatives, such as its data, is a row as well."""
    try:
        yield from WORKS[name].measure(session)
    except Exception as error:  # the other works go on
        yield {"case": name.partition("/")[2], "name": "the whole work", "ours": False, "failed": reason(error)}


def _settings(
    repeats: int | None,
    threads: int | None,
    quick: bool,
    device: str,
    weights: str | None,
    seed: int,
    names: Sequence[str],
) -> Settings:
    repeats = repeats if repeats is not None else QUICK_REPEATS if quick else REPEATS
    threads = threads if threads is not None else torch.get_num_threads()
    for flag, value in (("repeats", repeats), ("threads", threads)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"--{flag} needs a whole number from 1 on, not {value!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UserError(f"--seed needs a whole number from 0 on, not {seed!r}")
    kind = checked_device(device).type
    if weights is not None:
        if "networks/bfloat16" not in names:
            raise UserError("--weights is for networks/bfloat16: add --work networks/bfloat16")
        bundle_of(weights)
    return Settings(seed, bool(quick), kind, repeats, threads, weights)


def _check_folder(out: str | None, source: Path | None = None) -> None:
    """Refuse to write over another measurement."""
    if out is None:
        return
    folder, file = Path(out), Path(out) / "bench.json"
    if folder.is_file():
        raise UserError(f"--out {out} is a file: give a folder")
    if file.is_file() and (source is None or file.resolve() != source.resolve()):
        raise UserError(f"{file} holds a measurement already: choose another folder with --out, or delete it")


def _write(record: Record, out: str | None, docs: str | None) -> None:
    if out is not None:
        write_record(record, Path(out))
        write_folder(record, Path(out))
        print(f"{out} has bench.json, bench.md and the pictures")
    if docs is not None:
        write_docs(record, Path(docs))
        print(f"{docs} is written")


def _show(record: Record) -> None:
    found = tables(record)
    for group in sorted(found, key=lambda name: name == "bars"):  # the summary last, where it is seen
        for table in found[group]:
            print(table.text(), end="\n\n")
    failed = sum("failed" in row for row in record["rows"])
    if failed:
        print(f"{failed} of {len(record['rows'])} measurements were not possible, see !")
    if record["settings"]["quick"]:
        print("A quick run: tiny networks and inputs, the numbers say nothing")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
