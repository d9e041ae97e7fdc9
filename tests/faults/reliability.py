"""The page of what was done to trainings and inputs, and what came of it."""

import re
from pathlib import Path
from typing import NamedTuple

INTRODUCTION = """\
# Reliability

How runs were disturbed on purpose, and what happened. Each row was counted by a test, and the tests wrote this page
after all of them had passed:

```bash
python -m pytest tests/faults --faults-full --reliability docs/reliability.md
```

Without `--faults-full` the same tests try less often. A run of some of them replaces their rows and leaves the others.
"""
HEAD = "| tried | times | outcome |\n| --- | ---: | --- |\n"


class Trial(NamedTuple):
    """A row: what was tried in an area, how many times, what happened."""

    area: str
    what: str
    times: int
    outcome: str


def read(text: str) -> list[Trial]:
    """The rows of a page."""
    found, area = [], ""
    for line in text.splitlines():
        if line.startswith("## "):
            area = line.removeprefix("## ")
        elif area and line.startswith("| ") and (cells := re.split(r" (?<!\\)\| ", line[2:-2]))[1].isdigit():
            what, times, outcome = (cell.replace(r"\|", "|") for cell in cells)
            found.append(Trial(area, what, int(times), outcome))
    return found


def merged(old: list[Trial], new: list[Trial]) -> list[Trial]:
    """Old and new rows in the order of their areas: new ones take the place of those of the same name.

    New rows that say the same are one, with the sum of their times.
    """
    again = {(trial.area, trial.what) for trial in new}
    total: dict[tuple[str, str, str], int] = {}
    for trial in [*(trial for trial in old if trial[:2] not in again), *new]:
        key = (trial.area, trial.what, trial.outcome)
        total[key] = total.get(key, 0) + trial.times
    return sorted(Trial(area, what, times, outcome) for (area, what, outcome), times in total.items())


def page(trials: list[Trial]) -> str:
    """The page of these rows, which have the order of their areas."""
    text, area = INTRODUCTION, None
    for trial in trials:
        if trial.area != area:
            text, area = f"{text}\n## {trial.area}\n\n{HEAD}", trial.area
        what, outcome = (" ".join(cell.split()).replace("|", r"\|") for cell in (trial.what, trial.outcome))
        text += f"| {what} | {trial.times} | {outcome} |\n"
    return text


def write(path: Path, new: list[Trial]) -> None:
    """Put new rows into the page at ``path``, which is made where there is none."""
    old = read(path.read_text(encoding="utf-8")) if path.is_file() else []
    path.write_text(page(merged(old, new)), encoding="utf-8")
