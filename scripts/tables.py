"""Numbers and tables as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_NUMBER = re.compile(r"—|[-−]?[\d.,]+( (s|ms|µs|bytes|GB|GiB|mm|%))?")
"""Cells that are put to the right."""


@dataclass(frozen=True)
class Table:
    """A table for the terminal and for a page.

    Args:
        title: its heading.
        about: a sentence under the heading.
        columns: headings of the columns.
        rows: cells as text.
        notes: what could not be measured, and why.
    """

    title: str
    about: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """For the terminal: aligned, the numbers to the right."""
        body = [aligned(self.rows, self.columns)] if self.rows else []
        return "\n".join([self.title, *([self.about] if self.about else []), *body, *(f"! {n}" for n in self.notes)])

    def markdown(self) -> str:
        """For a page, without the heading."""
        lines = [f"{self.about}\n"] if self.about else []
        if self.rows:
            lines.append(markdown(self.rows, self.columns))
        if self.notes:
            lines += ["", *(f"- Not measured: {note}" for note in self.notes)]
        return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]], columns: Sequence[str] = (), indent: str = "") -> str:
    """Rows of cells below each other, columns of numbers to the right.

    Args:
        rows: cells as text, the same number in each.
        columns: headings, or none.
        indent: put before each line.

    Example:
        >>> print(aligned([("Dice", "0.91"), ("HD95", "12.3")], ("score", "value")))
        score  value
        Dice    0.91
        HD95    12.3
    """
    left = [not any(column) or _is_text(column) for column in zip(*rows, strict=True)] or [True] * len(columns)
    lines = [columns, *rows] if columns else rows
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        parts = (c.ljust(w) if text else c.rjust(w) for c, w, text in zip(cells, widths, left, strict=True))
        return (indent + "  ".join(parts)).rstrip()

    return "\n".join(map(line, lines))


def markdown(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> str:
    """A table of a Markdown page, columns of numbers to the right."""
    rule = ["---" if _is_text(column) else "---:" for column in zip(*rows, strict=True)] or ["---"] * len(columns)
    return "\n".join(f"| {' | '.join(_cell(c) for c in cells)} |" for cells in (columns, rule, *rows))


def span(seconds: float) -> str:
    """Seconds with three digits and a fitting unit.

    Example:
        >>> span(0.0123), span(75.0), span(4.2e-5)
        ('12.3 ms', '75.0 s', '42.0 µs')
    """
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{digits(seconds * factor)} {unit}"
    raise AssertionError


def digits(value: float) -> str:
    """A number with three digits, or more where there are more before the point.

    Example:
        >>> digits(0.6612), digits(12.34), digits(1234.5)
        ('0.661', '12.3', '1234')
    """
    if value < 1:
        return f"{value:.3f}"
    return f"{value:.{max(0, 3 - len(str(int(value))))}f}"


def gigabytes(size: int | None) -> str:
    """Bytes as GB of 10⁹."""
    return "" if size is None else f"{size / 1e9:.2f} GB"


def _is_text(column: Sequence[str]) -> bool:
    return any(cell and not _NUMBER.fullmatch(cell) for cell in column)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
