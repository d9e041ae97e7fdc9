"""Training that outlives a loss or a gradient that is no number."""

from __future__ import annotations

import logging
import math

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import nn
from torch.optim import Optimizer

from .output import first_loss

logger = logging.getLogger(__name__)

SKIPPED = "skipped_steps"
"""Name among the trainer's metrics."""


class SkipBadSteps:
    """Leaves out a step whose loss or gradient is not finite, and stops a training that has only such steps.

    Parameters, the optimizer's state, buffers such as the statistics of a batch normalisation, and the scale of mixed
    precision stay as they were before the iteration. A warning in the log names the iteration, and the number of such
    steps in the epoch stands among the trainer's metrics as "skipped_steps", in an epoch that has some.

    With float16 a gradient beyond its range is part of the search for the right scale: PyTorch's ``GradScaler`` leaves
    out the step and halves the scale. Such a step counts towards the end only where the scale is below 1 already.

    Of several processes all decide alike: their gradients are one, and the loss of each is asked for.

    The gradients are read once more in each step, and the buffers are copied, a small part of the time of a step.

    Args:
        network: the network, wrapped for many processes or not.
        optimizer: its optimizer.
        max_skipped: number of bad steps in a row that end the training.

    Raises:
        ValueError: if ``max_skipped`` is below 1.
        FloatingPointError: while it runs, after ``max_skipped`` bad steps in a row.
    """

    def __init__(self, network: nn.Module, optimizer: Optimizer, max_skipped: int = 10) -> None:
        if max_skipped < 1:
            raise ValueError(f"max_skipped must be 1 or more, got {max_skipped}")
        self.buffers = list(network.buffers())
        self.optimizer, self.max_skipped = optimizer, max_skipped
        self.in_row = 0
        self._before: list[torch.Tensor] = []
        self._scale: float | None = None
        self._loss_is_finite: torch.Tensor | None = None
        self._taken = True

    def attach(self, engine: Engine) -> None:
        """Register with MONAI's trainer."""
        self.optimizer.register_step_pre_hook(self._before_step)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self._start_iteration)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._look_at_loss)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._end_iteration)

    def _start(self) -> None:
        self.in_row = 0

    def _start_epoch(self, engine: Engine) -> None:
        engine.state.metrics.pop(SKIPPED, None)

    def _start_iteration(self, engine: Engine) -> None:
        self._before = [buffer.clone() for buffer in self.buffers]
        self._scale = engine.scaler.get_scale() if engine.scaler is not None and engine.scaler.is_enabled() else None
        self._taken = False

    def _look_at_loss(self, engine: Engine) -> None:
        finite = torch.isfinite(engine.state.output["loss"].detach()).float()
        self._loss_is_finite = idist.all_reduce(finite, "MIN") if idist.get_world_size() > 1 else finite

    def _before_step(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        """Take the gradients away where one is bad: an optimizer leaves alone what has none."""
        if self._loss_is_finite is None:  # not a step of the trainer
            return
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        largest = nn.utils.get_total_norm(gradients, norm_type=math.inf)
        self._taken = bool(torch.isfinite(largest.to(self._loss_is_finite.device)) & (self._loss_is_finite > 0))
        if not self._taken:
            optimizer.zero_grad(set_to_none=True)

    def _end_iteration(self, engine: Engine) -> None:
        if not _is_due(engine):
            return
        if self._taken:
            self.in_row = 0
            return
        loss_is_finite = bool(self._loss_is_finite)
        with torch.no_grad():
            for buffer, before in zip(self.buffers, self._before, strict=True):
                buffer.copy_(before)
        scaled = self._scale is not None
        if scaled and not loss_is_finite:
            engine.scaler.update(self._scale)  # the item is to blame, not the scale
        if not (scaled and loss_is_finite and self._scale >= 1):
            self.in_row += 1
        engine.state.metrics[SKIPPED] = engine.state.metrics.get(SKIPPED, 0) + 1
        what = "gradient" if loss_is_finite else f"loss ({first_loss(engine.state.output):g})"
        where = f"iteration {engine.state.iteration} of epoch {engine.state.epoch}"
        logger.warning("%s: the %s is not finite: the step is skipped", where, what)
        if self.in_row >= self.max_skipped:
            raise FloatingPointError(self._advice(what, where))

    def _advice(self, what: str, where: str) -> str:
        rate = self.optimizer.param_groups[0]["lr"]
        precision = "" if self._scale is None else ", train with --amp false or --amp_dtype bfloat16"
        return (
            f"the {what.partition(' ')[0]} was not finite in {self.in_row} steps in a row, the last in {where}: lower "
            f"--learning_rate (it is {rate:g}){precision}, look for bad images with `scanseg data check`; or allow "
            "more with --max_skipped"
        )


def _is_due(engine: Engine) -> bool:
    """Whether a step belongs to this iteration: gradients can be gathered over several."""
    every, length = getattr(engine, "accumulation_steps", 1), engine.state.epoch_length
    done = (engine.state.iteration - 1) % length + 1
    return done % every == 0 or done == length
