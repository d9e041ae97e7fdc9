"""The command ``doctor``."""

from __future__ import annotations

import dataclasses
import itertools
import json as json_format
import os
import sys
from collections.abc import Iterable, Iterator

from .finding import NOTE, OK, PROBLEM, Finding

SIGNS = {OK: "ok", NOTE: "--", PROBLEM: "!!"}
COLOURS = {OK: "32", NOTE: "33", PROBLEM: "31"}


def doctor(json: bool = False) -> int:
    """Check this machine and this installation, and say how to fix problems.

    It looks at Python and the packages, the processor, memory, disk and GPUs, tries every back end of the kernels on a
    tiny input, and looks for MONAI Label and the bundles. "ok" works, "--" is optional or not used, "!!" is a problem;
    an arrow shows the command that fixes it.

    Args:
        json: print all findings as JSON.

    Returns:
        0, or 1 if there is a problem.

    Example:
        scanseg doctor --json > machine.json
    """
    show = _as_json if json else _as_text
    return int(any(finding.status == PROBLEM for finding in show(findings())))


def findings() -> Iterator[Finding]:
    """All findings, topic by topic."""
    from . import kernels, machine, packages, tools

    for module in (packages, machine, kernels, tools):
        yield from module.findings()


def _as_json(found: Iterable[Finding]) -> list[Finding]:
    every = list(found)
    print(json_format.dumps([dataclasses.asdict(finding) for finding in every], indent=2, ensure_ascii=False))
    return every


def _as_text(found: Iterable[Finding]) -> list[Finding]:
    """Print the findings as they come."""
    every: list[Finding] = []
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for topic, group in itertools.groupby(found, key=lambda finding: finding.topic):
        print(f"{'' if not every else chr(10)}{topic}", flush=True)
        for finding in group:
            every.append(finding)
            print(_line(finding, coloured), flush=True)
    problems = sum(finding.status == PROBLEM for finding in every)
    print(f"\n{problems} problem{'' if problems == 1 else 's'}" if problems else "\nNo problem was found.")
    return every


def _line(finding: Finding, coloured: bool) -> str:
    sign = SIGNS[finding.status]
    if coloured:
        sign = f"\033[{COLOURS[finding.status]}m{sign}\033[0m"
    remedy = f"\n      → {finding.remedy}" if finding.remedy else ""
    return f"  {sign}  {finding.name}: {finding.text}{remedy}"
