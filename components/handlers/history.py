"""The course of a training as a table."""

from __future__ import annotations

import csv
import io
import math
from numbers import Number
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from ..files import write_text
from .bad_steps import SKIPPED
from .output import first_loss
from .record import RunRecord

FIXED = ("epoch", "loss", "learning_rate", "seconds")


class HistoryWriter:
    """Writes ``history.csv`` with one row an epoch: loss, learning rate, seconds and the validation's metrics.

    The loss is the mean over the iterations of the epoch, without those whose loss is not finite. An epoch with steps
    that were left out, see :class:`components.handlers.SkipBadSteps`, has their number under skipped_steps. The
    learning rate is the one that the epoch was trained with; the seconds are those of the training alone. The file is
    whole after every epoch. A resumed training keeps the rows before its first epoch and goes on below them; one that
    starts at epoch 1 starts a new table.

    Beside it ``training.json`` says with what and on what the training was done, see
    :class:`components.handlers.RunRecord`.

    The losses of the epoch so far are in ``trainer.state.losses``, where :class:`Checkpoints` puts those back that an
    interrupted epoch had. Its seconds are then those since the interruption.

    Of many processes the first one writes, with the mean of all their losses.

    Args:
        output_dir: folder of both files; made where it is missing.
        evaluator: the engine that validates; its metrics go into the row of the epoch that it validated.
        optimizer: where the learning rate stands; the trainer's ``optimizer`` by default.
    """

    def __init__(
        self, output_dir: str, evaluator: Engine | None = None, optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        self.path = Path(output_dir) / "history.csv"
        self.record = RunRecord(output_dir, "training")
        self.evaluator = evaluator
        self.optimizer = optimizer
        self._rows: dict[int, dict[str, Any]] | None = None
        self._learning_rate: float | None = None

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, and with the evaluator where there is one."""
        self.record.attach(engine)
        engine.add_event_handler(Events.STARTED, self._forget)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self._validated, engine)

    def _forget(self) -> None:
        self._rows = None

    def _start_epoch(self, engine: Engine) -> None:
        if self._rows is None:  # not at STARTED: a checkpoint that is loaded then still moves the epoch on
            self._rows = {epoch: row for epoch, row in read_history(self.path).items() if epoch < engine.state.epoch}
        engine.state.losses = []
        optimizer = self.optimizer or getattr(engine, "optimizer", None)
        self._learning_rate = optimizer.param_groups[0]["lr"] if optimizer is not None else None

    def _iteration(self, engine: Engine) -> None:
        if (loss := first_loss(engine.state.output)) is not None and math.isfinite(loss):
            engine.state.losses.append(loss)

    def _end_epoch(self, engine: Engine) -> None:
        row = self._row(engine.state.epoch)
        losses = [loss for of_process in idist.all_gather(engine.state.losses) for loss in of_process]
        row["loss"] = sum(losses) / len(losses) if losses else None
        row["learning_rate"] = self._learning_rate
        row["seconds"] = engine.state.times[Events.EPOCH_COMPLETED.name]
        if SKIPPED in engine.state.metrics:
            row[SKIPPED] = engine.state.metrics[SKIPPED]
        self._write()

    def _validated(self, evaluator: Engine, trainer: Engine) -> None:
        if self._rows is None:  # validation before the first epoch has no row
            return
        scalars = {name: as_number(value) for name, value in evaluator.state.metrics.items()}
        self._row(trainer.state.epoch).update({n: v for n, v in scalars.items() if v is not None and n not in FIXED})
        self._write()

    def _row(self, epoch: int) -> dict[str, Any]:
        return self._rows.setdefault(epoch, {"epoch": epoch})

    def _write(self) -> None:
        if idist.get_rank() > 0:
            return
        rows = [self._rows[epoch] for epoch in sorted(self._rows)]
        columns = dict.fromkeys([*FIXED, *(name for row in rows for name in row)])
        text = io.StringIO()
        writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
        write_text(self.path, text.getvalue(), durable=True)


def read_history(path: Path) -> dict[int, dict[str, str]]:
    """Rows of ``history.csv`` by epoch, without empty fields; none where there is no such file."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {int(row["epoch"]): {k: v for k, v in row.items() if v} for row in csv.DictReader(file)}


def as_number(value: Any) -> float | None:
    """A metric as a number; None if it is none, such as a tensor of several values."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value)
    return float(value) if isinstance(value, Number) else None
