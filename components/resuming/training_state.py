"""The whole state of a training, to save and to continue from."""

from __future__ import annotations

import copy
import functools
import logging
import warnings
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping, EMAHandler
from torch import nn

from .batches import EpochBatches
from .origin import check_optimizer, check_origin, origin
from .random_state import random_state, set_random_state
from .schedule import continue_schedule, settings

logger = logging.getLogger(__name__)


class TrainingState:
    """Gathers all that a training needs to continue exactly, and puts it back.

    Args: as of :class:`components.handlers.Checkpoints`; ``network`` without a wrapper.
    """

    def __init__(
        self,
        trainer: Engine,
        evaluator: Engine | None,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        lr_scheduler: Any,
        ema: EMAHandler | None = None,
        early_stop: EarlyStopping | None = None,
    ) -> None:
        self.trainer, self.evaluator, self.network = trainer, evaluator, network
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.ema, self.early_stop = ema, early_stop
        self.batches = EpochBatches(trainer.data_loader, trainer)
        self._epoch_end: dict[str, Any] | None = None

    @property
    def best_metric(self) -> tuple[float, int]:
        """The best score of a validation and its epoch, -1 where there was none."""
        if self.evaluator is None:
            return -1.0, -1
        return float(self.evaluator.state.best_metric), int(self.evaluator.state.best_metric_epoch)

    def note_epoch_end(self) -> None:
        """Note, after the last iteration of an epoch, what the schedule and the validation are about to change."""
        schedule = {"lr_scheduler": self.lr_scheduler.state_dict(), "settings": settings(self.optimizer)}
        self._epoch_end = {"random": self._random(), **copy.deepcopy(schedule)}

    def gather(self, epochs: int, iterations: int) -> dict[str, Any]:
        """The state after whole epochs and some iterations of the one after them; all processes take part.

        Args:
            epochs: epochs that are complete, with their validation.
            iterations: iterations of the next epoch. With all of them the state is the one before the epoch's end, as
                :meth:`note_epoch_end` noted it: the end comes again when the training continues.

        Returns:
            Tensors and plain values.
        """
        state = {
            "origin": self._origin,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict(),
            "epoch": epochs,
            "iterations": iterations,
            "epoch_length": self.trainer.state.epoch_length,
            "so_far": idist.all_gather(self._so_far() if iterations else {}),
            "random": self._random(),
        }
        if iterations == self.trainer.state.epoch_length:
            end = dict(self._epoch_end)
            groups = zip(state["optimizer"]["param_groups"], end.pop("settings"), strict=True)
            state["optimizer"]["param_groups"] = [{**group, **before} for group, before in groups]
            state |= end
        state["best_metric"], state["best_metric_epoch"] = self.best_metric
        if self.trainer.scaler is not None:
            state["scaler"] = self.trainer.scaler.state_dict()
        if self.ema is not None:
            state["ema"] = {
                "network": self.ema.ema_model.state_dict(),
                "updates": self.ema.momentum_scheduler.event_index,
            }
        if self.early_stop is not None:
            state["early_stop"] = {"counter": self.early_stop.counter, "best_score": self.early_stop.best_score}
        return state

    def restore(self, state: dict[str, Any], path: Path) -> str:
        """Put a state back.

        Args:
            state: what :meth:`gather` returned.
            path: where it was, for messages.

        Returns:
            Why there is nothing to continue with; empty if there is.

        Raises:
            ValueError: if it is of another network, optimizer or data set.
        """
        epochs, iterations = state["epoch"], state.get("iterations", 0)
        length, ranks = self.trainer.state.epoch_length, len(state["random"])
        if iterations and (state["epoch_length"] != length or ranks != idist.get_world_size()):
            if idist.get_rank() == 0:
                logger.warning("%s has a different number of iterations: epoch %d is repeated", path, epochs + 1)
            iterations = 0
        check_origin(state, self.network, self._origin, path)
        check_optimizer(state["optimizer"], self.optimizer, path, known="origin" in state)
        self.network.load_state_dict(state["network"])
        continue_schedule(self.lr_scheduler, self.optimizer, state["lr_scheduler"], state["optimizer"])
        self._restore_options(state, path)
        if self.evaluator is not None:
            self.evaluator.state.best_metric = state["best_metric"]
            self.evaluator.state.best_metric_epoch = state["best_metric_epoch"]
        if "scaler" in state and self.trainer.scaler is not None:
            self.trainer.scaler.load_state_dict(state["scaler"])
        if epochs >= self.trainer.state.max_epochs:
            return f"{path} has {epochs} epochs already: give --max_epochs above {epochs} to continue"
        if self.early_stop is not None and 0 < self.early_stop.patience <= self.early_stop.counter:
            return (
                f"{path} was stopped after {self.early_stop.counter} validations without a better one: give "
                f"--patience above {self.early_stop.counter}, or 0, to continue"
            )
        self._restore_place(state, epochs, iterations)
        done = f"epoch {epochs}" + (f" and {iterations} of {length} iterations of the next" if iterations else "")
        logger.info("resuming from %s, after %s", path, done)
        return ""

    @functools.cached_property
    def _origin(self) -> dict[str, Any]:
        return origin(self.network, self.optimizer, self.batches.loader)

    def _restore_place(self, state: dict[str, Any], epochs: int, iterations: int) -> None:
        trainer, rank = self.trainer, idist.get_rank()
        length = trainer.state.epoch_length
        ended = iterations == length  # but for its validation
        trainer.state.epoch = epochs
        trainer.state.iteration = epochs * length + (0 if ended else iterations)
        self.batches.skip = 0 if ended else iterations
        if rank < len(state["random"]):
            random = dict(state["random"][rank])
            self.batches.seed = random.pop("seed", self.batches.seed)
            trainer.add_event_handler(Events.STARTED, lambda: set_random_state(random))
        if iterations:
            begun = Events.EPOCH_STARTED(once=epochs + 1)
            trainer.add_event_handler(begun, self._set_so_far, state["so_far"][rank])
        if ended:
            trainer.add_event_handler(Events.STARTED, self._end_epoch)

    def _end_epoch(self, trainer: Engine) -> None:
        """Do what comes after the last iteration of an epoch, which was done before the interruption."""
        trainer.state.epoch += 1
        trainer.state.iteration = trainer.state.epoch * trainer.state.epoch_length
        trainer.fire_event(Events.EPOCH_STARTED)
        self.note_epoch_end()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a step of the schedule before one of the optimizer
            trainer.fire_event(Events.EPOCH_COMPLETED)

    def _restore_options(self, state: dict[str, Any], path: Path) -> None:
        if self.ema is not None and "ema" in state:
            self.ema.ema_model.load_state_dict(state["ema"]["network"])
            self.ema.momentum_scheduler.event_index = state["ema"]["updates"]
        elif self.ema is not None:
            logger.info("%s has no average of the weights: it starts here", path)
        elif "ema" in state and idist.get_rank() == 0:
            logger.warning("%s has an average of the weights, which is dropped: add --ema true to keep it", path)
        if self.early_stop is not None and "early_stop" in state:
            self.early_stop.counter = state["early_stop"]["counter"]
            self.early_stop.best_score = state["early_stop"]["best_score"]

    def _random(self) -> list[dict[str, Any]]:
        """Random states of all processes."""
        return idist.all_gather({**random_state(), "seed": self.batches.seed})

    def _so_far(self) -> dict[str, Any]:
        """What other handlers have counted in an epoch that is not complete."""
        metrics = {name: value for name, value in self.trainer.state.metrics.items() if isinstance(value, int | float)}
        return {"losses": getattr(self.trainer.state, "losses", []), "metrics": metrics}

    @staticmethod
    def _set_so_far(trainer: Engine, counted: dict[str, Any]) -> None:
        trainer.state.losses = counted["losses"]
        trainer.state.metrics.update(counted["metrics"])
