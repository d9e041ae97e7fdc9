"""``bench.json`` and what is made of it: the tables, the pictures, the page."""

from __future__ import annotations

import json
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
