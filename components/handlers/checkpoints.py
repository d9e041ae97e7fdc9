"""The course of a training: its files, the state that it goes on from, and its end."""

from __future__ import annotations

import copy
import logging
import signal
import warnings
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping, EMAHandler
from torch import nn

from components.validation import check_choice

from .batches import EpochBatches, ShelteredLoader
from .lock import locked
from .random_state import random_state, set_random_state
from .schedule import continue_schedule, settings
from .signals import Signals
from .state_file import StateFile, save

logger = logging.getLogger(__name__)

RESUME = ("true", "false", "auto")


class Checkpoints:
    """Keeps ``model.pt``, the weights of the best validation, and ``last.pt``, the whole state to go on from.

    ``model.pt`` is a plain state dict, the form that MONAI's tools and MONAI Label load. It is written when the
    evaluator's key metric improves; a training without any validation writes the final weights. ``last.pt`` is written
    after each epoch, and ``last.previous.pt`` is the one before it, see
    :class:`components.handlers.state_file.StateFile`. Of many processes the first one writes.

    A training that goes on does on a CPU, to the last bit, what it would have done without the interruption: weights,
    average, optimizer, schedule, scaler, random numbers, order of the data, best score and patience are those of the
    state, and each epoch draws its data by a seed of its own, see
    :class:`components.handlers.batches.EpochBatches`. With the
    learning rate's schedule and the optimizer's settings it follows the configuration as it is now, see
    :func:`components.handlers.schedule.continue_schedule`.

    SIGTERM and SIGINT end it after the current iteration, of the training or of a validation; where there are several
    processes, a validation is finished first. The state then holds how far the epoch is.

    It attaches the average of the weights and the early stopping, too, because their state belongs to that of the
    training. With an average, that is what validation sees and what ``model.pt`` holds; ``last.pt`` has both.

    Args:
        ckpt_dir: folder of the files; made where it is missing.
        trainer: MONAI's trainer.
        evaluator: MONAI's evaluator, with a key metric; None for a training without validation.
        network: the network, wrapped for many processes or not.
        optimizer: its optimizer.
        lr_scheduler: its learning rate scheduler.
        ema: Ignite's exponential moving average of the network's weights, with a warm-up from 1, so that it starts from
            the weights that the training starts from, wherever they were loaded; None for none.
        early_stop: Ignite's end of a training that no longer improves, counted in validations; None for none. (MONAI's
            ``EarlyStopHandler`` wraps it in a way that hides its state.)
        resume: whether to go on from ``last.pt``: true, false, or "auto" for going on if there is one, and doing
            nothing if the training is complete. The words may be texts, as of a command line.
        output_dir: another folder that this training writes, to keep other trainings out of it; None for none.

    Raises:
        ValueError: for another word in ``resume``.

    Example of use: ``Checkpoints(...).run()`` instead of ``trainer.run()``.
    """

    def __init__(
        self,
        ckpt_dir: str,
        trainer: Engine,
        evaluator: Engine | None,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        lr_scheduler: Any,
        ema: EMAHandler | None = None,
        early_stop: EarlyStopping | None = None,
        resume: bool | str = False,
        output_dir: str | None = None,
    ) -> None:
        self.resume = str(resume).lower()
        check_choice("resume", self.resume, RESUME)
        self.folders = [Path(folder) for folder in (ckpt_dir, output_dir) if folder is not None]
        self.best = Path(ckpt_dir) / "model.pt"
        self.last = StateFile(ckpt_dir)
        self.trainer = trainer
        self.evaluator = evaluator
        self.network = getattr(network, "module", network)
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.ema, self.early_stop = ema, early_stop
        self.result = self.network if ema is None else ema.ema_model
        self.batches = EpochBatches(trainer.data_loader, trainer)
        self.signals = Signals()
        self.stopped = 0
        """Number of the signal that ended the training; 0 for none."""
        self._epoch_end: dict[str, Any] | None = None

    def run(self) -> None:
        """Train, until the last epoch or a signal.

        Raises:
            SystemExit: with 128 and its number after a signal: 143 after SIGTERM, 130 after SIGINT (Ctrl+C).
            ValueError: as of :meth:`attach`, or if another training has one of the folders.
            OSError: if a folder cannot be written.
        """
        with locked(self.folders), self.signals:
            if self.attach():
                self.trainer.run()
        if self.stopped:
            if idist.get_world_size() > 1:
                idist.barrier()  # a launcher ends all processes when one is gone, and the first one may still write
                torch.distributed.destroy_process_group()
            raise SystemExit(128 + self.stopped)

    def attach(self) -> bool:
        """Register with both engines, and restore the state if asked for.

        Returns:
            Whether there is anything to train: False for a complete training that "auto" would go on with.

        Raises:
            FileNotFoundError: if there is nothing to resume from.
            ValueError: if the training to resume is complete already, or is to be stopped by validations that do not
                take place, or if its state is damaged.
        """
        if self.early_stop is not None and (self.evaluator is None or self.evaluator.state.epoch_length == 0):
            raise ValueError(
                "early stopping needs validation, but there are no validation cases: leave --patience at 0"
            )
        if self.ema is not None:
            self.ema.attach(self.trainer)
            if self.evaluator is not None:
                self.evaluator.network = self.ema.ema_model
        self.batches.attach()
        if self.resume == "true" or (self.resume == "auto" and self.last.exists()):
            if complete := self._restore():
                if not self.best.is_file():
                    self._finished()
                if self.resume == "true":
                    raise ValueError(complete)
                logger.info("nothing to do: %s", complete)
                return False
        elif self.last.exists() and idist.get_rank() == 0:
            logger.warning(
                "%s of an earlier training is replaced after the first epoch: --resume true goes on from it instead",
                self.last.path,
            )
        if self.evaluator is not None:
            self.evaluator.data_loader = ShelteredLoader(self.evaluator.data_loader)
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._validation_iterated)
            self.evaluator.add_event_handler(Events.COMPLETED, self._validated)
            if self.early_stop is not None:
                self.evaluator.add_event_handler(Events.COMPLETED, self.early_stop)
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._iterated)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
        self.trainer.add_event_handler(Events.COMPLETED, self._finished)
        return True

    def _iterated(self, trainer: Engine) -> None:
        iterations = (trainer.state.iteration - 1) % trainer.state.epoch_length + 1
        if iterations == trainer.state.epoch_length:
            self._note_epoch_end()
        elif signalled := self.signals.agreed():
            self._stop(signalled, iterations)

    def _note_epoch_end(self) -> None:
        """Note what the schedule and the validation change, for the case that the validation is interrupted."""
        schedule = {"lr_scheduler": self.lr_scheduler.state_dict(), "settings": settings(self.optimizer)}
        self._epoch_end = {"random": self._random(), **copy.deepcopy(schedule)}

    def _validation_iterated(self, evaluator: Engine) -> None:
        if idist.get_world_size() == 1 and self.signals.heard:  # others may have more cases than this process
            self.stopped = self.signals.heard
            evaluator.terminate(skip_completed=True)

    def _validated(self, evaluator: Engine) -> None:
        if evaluator.state.best_metric_epoch == evaluator.state.epoch:
            self._save_result()
            logger.info("%s: best weights so far, of epoch %d", self.best, evaluator.state.epoch)

    def _epoch_completed(self, trainer: Engine) -> None:
        if self.stopped:
            self._stop(self.stopped, trainer.state.epoch_length)
            return
        self._save_state(trainer.state.epoch, 0)
        if signalled := self.signals.agreed():
            self._stop(signalled, 0)

    def _finished(self) -> None:
        if self._best_metric()[1] < 1:
            self._save_result()
            logger.info("%s: final weights, as no validation took place", self.best)

    def _stop(self, signalled: int, iterations: int) -> None:
        """End the training after some iterations of the epoch, or after all of it."""
        self.stopped = signalled
        epoch, length = self.trainer.state.epoch, self.trainer.state.epoch_length
        if iterations:
            self._save_state(epoch - 1, iterations)
        where = f"after epoch {epoch}"
        if iterations:
            where = f"after iteration {iterations} of {length} in epoch {epoch}"
            where = f"in the validation of epoch {epoch}" if iterations == length else where
        if idist.get_rank() == 0:
            logger.warning(
                "ended by %s %s: %s has all that was done; --resume true goes on from it",
                signal.Signals(signalled).name,
                where,
                self.last.path,
            )
        self.trainer.terminate(skip_completed=True)

    def _best_metric(self) -> tuple[float, int]:
        if self.evaluator is None:
            return -1.0, -1
        return float(self.evaluator.state.best_metric), int(self.evaluator.state.best_metric_epoch)

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

    def _save_result(self) -> None:
        if idist.get_rank() == 0:
            save(self.result.state_dict(), self.best)

    def _save_state(self, epochs: int, iterations: int) -> None:
        """Save what there is after whole epochs and iterations of the one after them."""
        state = {
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
        state["best_metric"], state["best_metric_epoch"] = self._best_metric()
        if self.trainer.scaler is not None:
            state["scaler"] = self.trainer.scaler.state_dict()
        if self.ema is not None:
            state["ema"] = {
                "network": self.ema.ema_model.state_dict(),
                "updates": self.ema.momentum_scheduler.event_index,
            }
        if self.early_stop is not None:
            state["early_stop"] = {"counter": self.early_stop.counter, "best_score": self.early_stop.best_score}
        if idist.get_rank() == 0:
            self.last.save(state)

    def _restore(self) -> str:
        """Restore the state; returns why there is nothing to go on with, empty if there is."""
        state = self.last.load()
        epochs, iterations = state["epoch"], state.get("iterations", 0)
        length, ranks = self.trainer.state.epoch_length, len(state["random"])
        if iterations and (state["epoch_length"] != length or ranks != idist.get_world_size()):
            if idist.get_rank() == 0:
                logger.warning("%s has other iterations: epoch %d begins again", self.last.path, epochs + 1)
            iterations = 0
        self.network.load_state_dict(state["network"])
        continue_schedule(self.lr_scheduler, self.optimizer, state["lr_scheduler"], state["optimizer"])
        self._restore_options(state)
        if self.evaluator is not None:
            self.evaluator.state.best_metric = state["best_metric"]
            self.evaluator.state.best_metric_epoch = state["best_metric_epoch"]
        if "scaler" in state and self.trainer.scaler is not None:
            self.trainer.scaler.load_state_dict(state["scaler"])
        if epochs >= self.trainer.state.max_epochs:
            return f"{self.last.path} has {epochs} epochs already: give --max_epochs above {epochs} to go on"
        if self.early_stop is not None and 0 < self.early_stop.patience <= self.early_stop.counter:
            return (
                f"{self.last.path} was stopped after {self.early_stop.counter} validations without a better one: give "
                f"--patience above {self.early_stop.counter}, or 0, to go on"
            )
        self._restore_place(state, epochs, iterations)
        done = f"epoch {epochs}" + (f" and {iterations} of {length} iterations of the next" if iterations else "")
        logger.info("going on from %s, after %s", self.last.path, done)
        return ""

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
        self._note_epoch_end()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a step of the schedule before one of the optimizer
            trainer.fire_event(Events.EPOCH_COMPLETED)

    def _restore_options(self, state: dict[str, Any]) -> None:
        if self.ema is not None and "ema" in state:
            self.ema.ema_model.load_state_dict(state["ema"]["network"])
            self.ema.momentum_scheduler.event_index = state["ema"]["updates"]
        elif self.ema is not None:
            logger.info("%s has no average of weights: it begins here", self.last.path)
        elif "ema" in state and idist.get_rank() == 0:
            logger.warning("%s has an average of weights, which ends here: add --ema true to keep it", self.last.path)
        if self.early_stop is not None and "early_stop" in state:
            self.early_stop.counter = state["early_stop"]["counter"]
            self.early_stop.best_score = state["early_stop"]["best_score"]
