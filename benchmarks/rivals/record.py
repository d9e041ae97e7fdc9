"""What a folder of trainings holds, as one record."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from scripts.data.dataset import read_json

from .clock import read_clock
from .networks import Json


def complete(place: Path) -> bool:
    """Whether a training was finished, and its test cases predicted and scored."""
    return (place / "scores.json").is_file()


def gather(folder: Path, settings: Json, about: Json) -> Json:
    """The record of a comparison.

    Args:
        folder: with NETWORK/seedN.
        settings: of the comparison.
        about: what else the page says.

    Returns:
        ``settings``, ``about``, ``date`` and ``runs``: for each training network, seed, schedule, CPU seconds, peak
        memory, parameters, validations (iteration, CPU seconds, Dice) and the scores of each test case; or why it
        failed.
    """
    runs: list[dict[str, Any]] = []
    for place in sorted(folder.glob("*/seed*")):
        name, seed = place.parent.name, int(place.name.removeprefix("seed"))
        run: dict[str, Any] = {"network": name, "seed": seed, "failed": None}
        if (place / "failed.json").is_file():
            runs.append({**run, "failed": read_json(place / "failed.json")["reason"]})
            continue
        if not complete(place):
            continue
        clock = read_clock(place / "clock.json")
        steps = clock["steps"]
        run |= {
            "schedule": read_json(place / "schedule.json"),
            **read_json(place / "training.json"),
            "iterations": len(steps),
            "cpu_seconds": sum(steps),
            "validations": [[n, sum(steps[:n]), dice] for n, dice in clock["validations"]],
            "scores": read_json(place / "scores.json"),
        }
        runs.append(run)
    return {"date": datetime.date.today().isoformat(), "settings": settings, "about": about, "runs": runs}
