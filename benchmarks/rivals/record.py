"""What a folder of trainings holds, as one record."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from components.files import read_json
from scripts.errors import UserError

from .clock import read_clock
from .networks import Json


def complete(place: Path) -> bool:
    """Whether a training was finished, and its test cases predicted and scored."""
    return (place / "scores.json").is_file()


def recorded(settings: Json) -> Json:
    """The settings that are recorded: all but the place of the data on this machine."""
    return {key: value for key, value in settings.items() if key != "data"}


def finished(record: Json | None) -> dict[tuple[str, int], Json]:
    """The trainings of a record that did not fail, by network and seed; none where there is no record."""
    runs = record["runs"] if record else ()
    return {(run["network"], run["seed"]): run for run in runs if not run["failed"]}


def check_same(settings: Json, before: Json, where: Path) -> None:
    """Refuse to mix trainings with different settings.

    Args:
        settings: of the comparison.
        before: those of its earlier part.
        where: the folder or file of the earlier part.

    Raises:
        UserError: where they differ.
    """
    different = [key for key in settings if before.get(key) != settings[key]]
    if different:
        was = ", ".join(f"--{key} {before.get(key)}" for key in different)
        raise UserError(f"{where} holds a comparison with {was}: continue with these settings, or choose another")


def gather(folder: Path, settings: Json, about: Json, earlier: Json | None = None) -> Json:
    """The record of a comparison.

    Args:
        folder: with NETWORK/seedN.
        settings: of the comparison.
        about: what else the page says.
        earlier: a record with further trainings, made in another folder.

    Returns:
        ``settings``, ``about``, ``date`` and ``runs``: for each training network, seed, schedule, CPU seconds, speed of
        the processor, peak memory, parameters, validations (iteration, CPU seconds, Dice) and the scores of each test
        case; or why it failed.
    """
    known = finished(earlier)
    runs = list(known.values())
    for place in sorted(folder.glob("*/seed*")):
        name, seed = place.parent.name, int(place.name.removeprefix("seed"))
        if (name, seed) in known:
            continue
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
            **read_json(place / "speed.json"),
            "iterations": len(steps),
            "cpu_seconds": sum(steps),
            "validations": [[n, sum(steps[:n]), dice] for n, dice in clock["validations"]],
            "scores": read_json(place / "scores.json"),
        }
        runs.append(run)
    cpus = [*(earlier["about"]["cpus"] if earlier else ()), *about["cpus"]]
    return {
        "date": datetime.date.today().isoformat(),
        "settings": recorded(settings),
        "about": {**about, "cpus": list(dict.fromkeys(cpus))},
        "runs": sorted(runs, key=lambda run: (run["network"], run["seed"])),
    }
