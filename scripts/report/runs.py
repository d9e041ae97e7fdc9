"""The records of a training and an evaluation: environment, differences to the released bundle, warnings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LONGEST = 160
"""Characters of a value that are shown."""
PACKAGES = {"python": "Python", "torch": "PyTorch", "monai": "MONAI", "components": "components (scanseg)"}
STATES = {
    "running": "has not ended, or its process was killed",
    "interrupted": "was interrupted",
    "failed": "failed",
}


@dataclass(frozen=True)
class Change:
    """A setting that is not as in the bundle.

    Args:
        run: "training" or "evaluation".
        id: its id.
        released: its value in the bundle's config.
        used: its value in the run.
        by: the config file that set it, or "command line".
    """

    run: str
    id: str
    released: str
    used: str
    by: str


def facts(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Facts on each run: for each fact the text of each run, empty if a run does not know it.

    Args:
        runs: content of ``training.json`` and ``evaluation.json`` by "training" and "evaluation".
    """
    columns = {name: _facts(record) for name, record in runs.items()}
    terms = dict.fromkeys(term for column in columns.values() for term in column)
    return {term: {name: column.get(term, "") for name, column in columns.items()} for term in terms}


def changes(runs: Mapping[str, Mapping[str, Any]]) -> list[Change]:
    """Settings that differ from the bundle's, in the order in which they were set."""
    return [
        Change(name, change["id"], shown(change["released"]), shown(change["used"]), change["by"])
        for name, record in runs.items()
        for change in (record.get("command") or {}).get("changes", [])
        if change["released"] != change["used"] and change["known"]
    ]


def unused(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Settings that the bundle's config does not have, by run: without effect, unless another setting uses them."""
    found = {
        name: sorted({c["id"] for c in (record.get("command") or {}).get("changes", []) if not c["known"]})
        for name, record in runs.items()
    }
    return {name: ids for name, ids in found.items() if ids}


def unknown(runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Runs of which it is not known what differs."""
    return [name for name, record in runs.items() if not record.get("command")]


def warnings(runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a reader has to know first, one sentence each."""
    consequence = {
        "training": "The curves end where it ended.",
        "evaluation": "The scores, where there are any, are those of an earlier evaluation.",
    }
    return [
        f"The {name} {STATES[status]}{': ' + record['error'] if record.get('error') else ''}. {consequence[name]}"
        for name, record in runs.items()
        if (status := record.get("status")) in STATES
    ]


def shown(value: Any) -> str:
    """A value of a config on one line, shortened where it is long."""
    text = "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
    machine, versions, network = (record.get(key) or {} for key in ("machine", "versions", "network"))
    known = {
        "Started": _moment(record.get("started")),
        "Ended": _moment(record.get("ended")),
        "Took": _duration(record.get("started"), record.get("ended")),
        "Went on after epoch": str(record["epoch"]) if record.get("epoch") else "",
        "Configs": ", ".join((record.get("command") or {}).get("config_files", [])),
        "Seed": str(record["seed"]) if record.get("seed") is not None else "none set",
        "Network": f"{network['name']}, {network['parameters']:,} parameters" if network else "",
        "Device": machine.get("gpu") or machine.get("device", ""),
        "CPU": f"{machine['cpu']}, {machine['cpus']} cores, {machine['threads']} threads" if "cpu" in machine else "",
        "CUDA": machine.get("cuda") or "",
        "Mixed precision": "yes" if record.get("amp") else "no",
        "Processes": str(record.get("processes", "")),
        "Back ends": "; ".join(f"{op}: {', '.join(names)}" for op, names in (record.get("backends") or {}).items()),
        **{PACKAGES.get(name, name): number for name, number in versions.items()},
        "System": machine.get("system", ""),
    }
    return {term: text for term, text in known.items() if text}


def _moment(text: str | None) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC" if text else ""


def _duration(begin: str | None, end: str | None) -> str:
    if not begin or not end:
        return ""
    seconds = int((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
