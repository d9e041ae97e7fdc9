"""How much processor time the steps of a training take."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from components.files import write_text


class Clock:
    """Writes the CPU seconds of each iteration, loading of its data included, and the validation scores.

    What is not a step (the start, validations, checkpoints) is not counted. The seconds are those of this process with
    all of its threads, so data have to be loaded in it (``num_workers`` 0). A training that is resumed keeps those of
    the iterations that its state has.

    Args:
        path: JSON file, with the lists ``steps`` (CPU seconds) and ``validations`` (iteration, score).
        evaluator: the engine that validates.
        score: name of the score that is kept.
    """

    def __init__(self, path: str, evaluator: Engine | None = None, score: str = "val_mean_dice") -> None:
        self.path, self.evaluator, self.score = Path(path), evaluator, score
        self.content: dict[str, list[Any]] | None = None
        self._begin = 0.0

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, and with the evaluator where there is one."""
        engine.add_event_handler(Events.STARTED, self._forget)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)
        engine.add_event_handler(Events.TERMINATE, self._write)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self._validated, engine)

    def _forget(self) -> None:
        self.content = None

    def _start_epoch(self, engine: Engine) -> None:
        if self.content is None:  # not earlier: a state that is restored moves the iteration on
            self.content = cut(read_clock(self.path), engine.state.iteration)

    def _start(self) -> None:
        self._begin = time.process_time()

    def _iteration(self) -> None:
        self.content["steps"].append(time.process_time() - self._begin)

    def _validated(self, evaluator: Engine, trainer: Engine) -> None:
        if self.content is not None:
            self.content["validations"].append([trainer.state.iteration, float(evaluator.state.metrics[self.score])])
            self._write()

    def _write(self) -> None:
        write_text(self.path, json.dumps(self.content))


def read_clock(path: Path) -> dict[str, list[Any]]:
    """Content of the file; empty lists where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"steps": [], "validations": []}


def cut(content: dict[str, list[Any]], iterations: int) -> dict[str, list[Any]]:
    """What belongs to the first iterations.

    Example:
        >>> cut({"steps": [1.0, 2.0, 3.0], "validations": [[1, 0.5], [3, 0.7]]}, 2)
        {'steps': [1.0, 2.0], 'validations': [[1, 0.5]]}
    """
    return {
        "steps": content["steps"][:iterations],
        "validations": [row for row in content["validations"] if row[0] <= iterations],
    }
