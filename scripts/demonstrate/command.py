"""``demonstrate``: train a bundle on its real sample for a few minutes, and show its score."""

from __future__ import annotations

import json as json_text
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import __version__
from components.files import read_json, write_text
from components.validation import check_choice

from ..bundle.find import ROOT
from ..errors import UserError
from ..files import check_free
from ..installed import PACKAGE
from ..run.monai_command import typed
from ..tables import aligned
from .demonstrations import DEMONSTRATIONS, Demonstration, commands_of

TAIL = 15
"""Lines of a log that are shown when a command fails."""


def demonstrate(
    name: str, out: str | None = None, override: dict[str, Any] | None = None, dry_run: bool = False
) -> int:
    """Train a bundle on its real sample, evaluate it, and show its score.

    It runs the commands that a user types: data sample, training and evaluating by monai.bundle with the bundle's
    configs and one beside them that makes the training short. cells shows that a network learns: it is scored on the
    other half of the picture. mri and ct show that it can: they overfit, and are scored on what they were trained on.
    The numbers say nothing about other patients or pictures.

    Args:
        name: cells, mri or ct.
        out: folder to make; by default demonstrations/NAME. The weights are in models/model.pt of it.
        override: other values of the training, by id, for example '{"max_epochs": 2}'.
        dry_run: only print the commands.

    Returns:
        0, or 1 where the aim was missed.

    Example:
        scanseg demonstrate cells
    """
    check_choice("demonstration", name, DEMONSTRATIONS)
    chosen = DEMONSTRATIONS[name]
    folder = Path(out) if out else Path("demonstrations") / name
    commands = commands_of(chosen, folder, override or {})
    if dry_run:
        print("\n".join(typed(["python", *words]) for words in commands.values()))
        return 0
    if (folder / "result.json").is_file():
        print(f"{folder} already holds this demonstration; delete it to repeat it")
        return _tell(read_json(folder / "result.json"))
    check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seconds = {step: _run(step, words, folder) for step, words in commands.items()}
    result = _result(name, chosen, folder, commands, seconds, override or {})
    write_text(folder / "result.json", json_text.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return _tell(result)


def _run(step: str, words: list[str], folder: Path) -> dict[str, float]:
    """Run one command; its log goes to a file, its progress bar to the terminal. Returns the seconds it took."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    if PACKAGE == "scripts":
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    log = folder / f"{step}.log"
    start, before = time.monotonic(), os.times()
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run([sys.executable, *words], stdout=file, env=environment, check=False)
    after = os.times()
    if done.returncode:
        print("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]), file=sys.stderr)
        raise UserError(f"{step} failed: see {log}; delete {folder} before you try again")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"cpu": round(cpu, 1), "wall": round(time.monotonic() - start, 1)}


def _result(
    name: str,
    chosen: Demonstration,
    folder: Path,
    commands: Mapping[str, list[str]],
    seconds: Mapping[str, Mapping[str, float]],
    override: Mapping[str, Any],
) -> dict[str, Any]:
    import torch

    metrics = read_json(folder / "output" / "metrics.json")
    classes = {name: means["strict"] for name, means in metrics["classes"].items()}
    return {
        "demonstration": name,
        "bundle": chosen.bundle,
        "config": chosen.config,
        "override": dict(override),
        "what": chosen.what,
        "score": chosen.score,
        "aim": chosen.aim,
        "reached": metrics["mean"]["strict"][chosen.score],
        "cases": metrics["cases"],
        "classes": {name: means[chosen.score] for name, means in classes.items()},
        "seconds": dict(seconds),
        "commands": {step: typed(["python", *words]) for step, words in commands.items()},
        "machine": {"cpus": os.cpu_count(), "threads": torch.get_num_threads(), "system": platform.platform()},
        "versions": {"scanseg": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _tell(result: Mapping[str, Any]) -> int:
    reached, aim, score = result["reached"], result["aim"], result["score"]
    print(f"{result['bundle']}, {result['what']}")
    rows = [(name, "not there" if value is None else f"{value:.3f}") for name, value in result["classes"].items()]
    print(aligned(rows, indent="  "))
    used = result["seconds"]["training"]
    print(f"Training took {used['cpu']:.0f} s of CPU time ({used['wall']:.0f} s on the clock)")
    met = reached is not None and reached >= aim
    value = "nothing" if reached is None else f"{reached:.3f}"
    print(f"mean {score} {value} over {result['cases']} cases: the aim of {aim} was {'reached' if met else 'missed'}")
    return 0 if met else 1
