"""``bench.json`` and what is made of it: the tables, the pictures, the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from components.files import read_json, write_text
from scripts.errors import UserError

from .plots import plots
from .tables import TITLES, Record, tables

FORMAT = 2
"""Of ``bench.json``; another number is refused."""
KEYS = ("format", "date", "command", "works", "settings", "machine", "rows")


def write_record(record: Record, folder: Path) -> None:
    """Write ``bench.json``, with all raw times."""
    write_text(folder / "bench.json", json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """Read a ``bench.json``.

    Raises:
        UserError: if it is not a measurement or one of another format.
    """
    record = read_json(path)
    missing = [key for key in KEYS if key not in record] if isinstance(record, dict) else list(KEYS)
    if missing:
        raise UserError(f"{path} is not a measurement of `python -m benchmarks`: it has no {missing[0]}")
    if record["format"] != FORMAT:
        raise UserError(f"{path} has the format {record['format']!r}, not {FORMAT}: measure again")
    return record


def read_records(paths: Sequence[Path]) -> dict[str, Any]:
    """Join measurements of one machine, of different works, as if they had been one.

    Returns:
        The content of a ``bench.json``: all rows, the commands below each other, the latest date, the smallest number
        of repeats, and what the machine could do when the first one was made.

    Raises:
        UserError: if one is not a measurement, two have a work in common, or machine, versions or settings differ.
    """
    first, *others = records = [read_record(path) for path in paths]
    for path, record in zip(paths[1:], others, strict=True):
        for what, key in (("machine", "cpu"), ("device", "device"), ("versions", "versions")):
            if record["machine"][key] != first["machine"][key]:
                raise UserError(f"{path} was measured with another {what} than {paths[0]}: measure all on one machine")
        if _fixed(record) != _fixed(first):
            raise UserError(f"{path} has other settings than {paths[0]}: {_fixed(record)} and {_fixed(first)}")
    works = [work for record in records for work in dict.fromkeys(row["work"] for row in record["rows"])]
    if twice := [work for work in works if works.count(work) > 1]:
        raise UserError(f"{twice[0]} is in more than one of the measurements: leave one out")
    return {
        **first,
        "date": max(record["date"] for record in records),
        "command": "\n".join(record["command"] for record in records),
        "works": works,
        "settings": {**first["settings"], "repeats": min(record["settings"]["repeats"] for record in records)},
        "rows": [row for record in records for row in record["rows"]],
    }


def _fixed(record: Record) -> dict[str, Any]:
    """Settings that joined measurements have in common."""
    return {key: value for key, value in record["settings"].items() if key != "repeats"}


def write_folder(record: Record, folder: Path) -> None:
    """Write ``bench.md`` and the pictures into the folder of ``bench.json``."""
    write_text(folder / "bench.md", page(record, plots(record, folder), ""))


def write_docs(record: Record, path: Path) -> None:
    """Write the page of the documentation; its pictures go to ``images/benchmarks`` beside it."""
    images = Path("images") / "benchmarks"
    write_text(path, page(record, plots(record, path.parent / images), f"{images.as_posix()}/"))


def page(record: Record, pictures: dict[str, list[str]], images: str) -> str:
    """The page as Markdown.

    Args:
        record: content of ``bench.json``.
        pictures: names of the pictures by group.
        images: what to put before these names, from the page's folder.
    """
    template = Path(__file__).with_name("page.md").read_text(encoding="utf-8")
    environment = jinja2.Environment(  # noqa: S701 - Markdown
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(template).render(
        record=record, tables=tables(record), titles=TITLES, plots=pictures, images=images
    )
