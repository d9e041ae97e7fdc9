"""The course of a training: its files, the state that it goes on from, and its end."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping, EMAHandler
from torch import nn

from ..files import partial_of
from ..networks.pretrained import load_pretrained
from ..runs.group import end_group
from ..validation import check_choice
from .batches import ShelteredLoader
from .lock import locked
from .signals import Signals
from .state_file import StateFile, save
from .training_state import TrainingState

logger = logging.getLogger(__name__)

RESUME = ("true", "false", "auto")


class Checkpoints:
    """Keeps ``model.pt``, the weights of the best validation, and ``last.pt``, the whole state to continue from.

    ``model.pt`` is a plain state dict, the form that MONAI's tools and MONAI Label load. It is written when the
    evaluator's key metric improves; a training without any validation writes the final weights. ``last.pt`` is written
    after each epoch, and ``last.previous.pt`` is the one before it, see
    :class:`components.resuming.state_file.StateFile`. Of many processes the first one writes.

    A resumed training does on a CPU, to the last bit, what it would have done without the interruption: weights,
    average, optimizer, schedule, scaler, random numbers, order of the data, best score and patience are those of the
    state, and each epoch draws its data by a seed of its own, see
    :class:`components.resuming.batches.EpochBatches`. With the
    learning rate's schedule and the optimizer's settings it follows the configuration as it is now, see
    :func:`components.resuming.schedule.continue_schedule`.

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
        resume: whether to continue from ``last.pt``: true, false, or "auto" for going on if there is one, and doing
            nothing if the training is complete. The words may be texts, as of a command line.
        output_dir: another folder that this training writes, to keep other trainings out of it; None for none.
        pretrained: file of weights that a new training starts from, see
            :func:`components.networks.load_pretrained`; a training that is resumed does not read it.

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
        pretrained: str | None = None,
    ) -> None:
        self.resume = str(resume).lower()
        check_choice("resume", self.resume, RESUME)
        self.folders = [Path(folder) for folder in (ckpt_dir, output_dir) if folder is not None]
        self.best = Path(ckpt_dir) / "model.pt"
        self.last = StateFile(ckpt_dir)
        self.trainer = trainer
        self.evaluator = evaluator
        self.ema, self.early_stop, self.pretrained = ema, early_stop, pretrained
        network = getattr(network, "module", network)
        self.result = network if ema is None else ema.ema_model
        self.state = TrainingState(trainer, evaluator, network, optimizer, lr_scheduler, ema, early_stop)
        self.signals = Signals()
        self.stopped = 0
        """Number of the signal that ended the training; 0 for none."""

    def run(self) -> None:
        """Train, until the last epoch or a signal.

        Raises:
            SystemExit: with 128 and its number after a signal: 143 after SIGTERM, 130 after SIGINT (Ctrl+C).
            ValueError: as of :meth:`attach`, or if another training has one of the folders.
            OSError: if a folder cannot be written.
        """
        with locked(self.folders), self.signals:
            for path in (self.best, self.last.path, self.last.previous) if idist.get_rank() == 0 else ():
                partial_of(path).unlink(missing_ok=True)  # of a process that was killed
            if self.attach():
                self.trainer.run()
        if self.stopped:
            if idist.get_world_size() > 1:
                idist.barrier()  # a launcher ends all processes when one is gone, and the first one may still write
                end_group()
            raise SystemExit(128 + self.stopped)

    def attach(self) -> bool:
        """Register with both engines, and restore the state if asked for.

        Returns:
            Whether there is anything to train: False for a complete training that "auto" would continue with.

        Raises:
            FileNotFoundError: if there is nothing to resume or start from.
            ValueError: if the training to resume is complete already, or is to be stopped by validations that do not
                take place, if its state is damaged or of another network, optimizer or data set, or if the weights to
                start from do not fit.
        """
        if self.early_stop is not None and (self.evaluator is None or self.evaluator.state.epoch_length == 0):
            raise ValueError(
                "early stopping needs validation, but there are no validation cases: leave --patience at 0"
            )
        if self.ema is not None:
            self.ema.attach(self.trainer)
            if self.evaluator is not None:
                self.evaluator.network = self.ema.ema_model
        self.state.batches.attach()
        if self.resume == "true" or (self.resume == "auto" and self.last.exists()):
            if complete := self.state.restore(self.last.load(), self.last.path):
                if not self.best.is_file():
                    self._finished()
                if self.resume == "true":
                    raise ValueError(complete)
                logger.info("nothing to do: %s", complete)
                return False
        else:
            self._begin()
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

    def _begin(self) -> None:
        if self.last.exists() and idist.get_rank() == 0:
            logger.warning(
                "%s of an earlier training will be replaced after the first epoch: --resume true would continue it",
                self.last.path,
            )
        if self.pretrained is not None:
            load_pretrained(self.state.network, self.pretrained)
            if self.ema is not None:
                self.ema.ema_model.load_state_dict(self.state.network.state_dict())

    def _iterated(self, trainer: Engine) -> None:
        iterations = (trainer.state.iteration - 1) % trainer.state.epoch_length + 1
        if iterations == trainer.state.epoch_length:
            self.state.note_epoch_end()
        elif signalled := self.signals.agreed():
            self._stop(signalled, iterations)

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
        complete = trainer.state.epoch == trainer.state.max_epochs or trainer.should_terminate
        if not complete and (signalled := self.signals.agreed()):
            self._stop(signalled, 0)

    def _finished(self) -> None:
        if self.state.best_metric[1] < 1:
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
                "ended by %s %s: %s holds the progress so far; --resume true continues from it",
                signal.Signals(signalled).name,
                where,
                self.last.path,
            )
        self.trainer.terminate(skip_completed=True)

    def _save_result(self) -> None:
        if idist.get_rank() == 0:
            save(self.result.state_dict(), self.best)

    def _save_state(self, epochs: int, iterations: int) -> None:
        state = self.state.gather(epochs, iterations)
        if idist.get_rank() == 0:
            self.last.save(state)
