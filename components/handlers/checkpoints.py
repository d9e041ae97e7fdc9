"""The files of a training: the best weights, and the whole state to go on from."""

from __future__ import annotations

import logging
import os
import random
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping, EMAHandler
from torch import nn

from components.files import replacing

from .schedule import continue_schedule

logger = logging.getLogger(__name__)


class Checkpoints:
    """Keeps ``model.pt``, the weights of the best validation, and ``last.pt``, the whole state of the last epoch.

    ``model.pt`` is a plain state dict, the form that MONAI's tools and MONAI Label load. It is written when the
    evaluator's key metric improves; a training without any validation writes the final weights. Files are written
    beside and then renamed, so that a crash leaves the old file or the new one. Of many processes the first one writes.

    It attaches the average of the weights and the early stopping, too, because their state belongs to that of the
    training. With an average, that is what validation sees and what ``model.pt`` holds; ``last.pt`` has both. A
    training that goes on takes its schedule and the optimizer's settings from the configuration as it is now, see
    :func:`components.handlers.schedule.continue_schedule`.

    Args:
        ckpt_dir: folder of both files; made where it is missing.
        trainer: MONAI's trainer.
        evaluator: MONAI's evaluator, with a key metric; None for a training without validation.
        network: the network, wrapped for many processes or not.
        optimizer: its optimizer.
        lr_scheduler: its learning rate scheduler.
        ema: Ignite's exponential moving average of the network's weights, with a warm-up from 1, so that it starts from
            the weights that the training starts from, wherever they were loaded; None for none.
        early_stop: Ignite's end of a training that no longer improves, counted in validations; None for none. (MONAI's
            ``EarlyStopHandler`` wraps it in a way that hides its state.)
        resume: whether to go on from ``last.pt``.

    Example of use: ``Checkpoints(...).attach()`` before ``trainer.run()``.
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
        resume: bool = False,
    ) -> None:
        self.best = Path(ckpt_dir) / "model.pt"
        self.last = Path(ckpt_dir) / "last.pt"
        self.trainer = trainer
        self.evaluator = evaluator
        self.network = getattr(network, "module", network)
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.ema, self.early_stop = ema, early_stop
        self.result = self.network if ema is None else ema.ema_model
        self.resume = resume

    def attach(self) -> None:
        """Register with both engines, and restore the state if asked for.

        Raises:
            FileNotFoundError: if there is nothing to resume from.
            ValueError: if the training to resume is complete already, or is to be stopped by validations that do not
                take place.
        """
        if self.early_stop is not None and (self.evaluator is None or self.evaluator.state.epoch_length == 0):
            raise ValueError(
                "early stopping needs validation, but there are no validation cases: leave --patience at 0"
            )
        if self.ema is not None:
            self.ema.attach(self.trainer)
            if self.evaluator is not None:
                self.evaluator.network = self.ema.ema_model
        if self.resume:
            self._restore()
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self._validated)
            if self.early_stop is not None:
                self.evaluator.add_event_handler(Events.COMPLETED, self.early_stop)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._save_state)
        self.trainer.add_event_handler(Events.COMPLETED, self._finished)

    def _validated(self, evaluator: Engine) -> None:
        if evaluator.state.best_metric_epoch == evaluator.state.epoch:
            self._save(self.result.state_dict(), self.best)
            logger.info("%s: best weights so far, of epoch %d", self.best, evaluator.state.epoch)

    def _finished(self) -> None:
        if self._best_metric()[1] < 1:
            self._save(self.result.state_dict(), self.best)
            logger.info("%s: final weights, as no validation took place", self.best)

    def _best_metric(self) -> tuple[float, int]:
        if self.evaluator is None:
            return -1.0, -1
        return float(self.evaluator.state.best_metric), int(self.evaluator.state.best_metric_epoch)

    def _save_state(self, trainer: Engine) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict(),
            "epoch": trainer.state.epoch,
            "random": idist.all_gather(_random_state()),
        }
        state["best_metric"], state["best_metric_epoch"] = self._best_metric()
        if trainer.scaler is not None:
            state["scaler"] = trainer.scaler.state_dict()
        if self.ema is not None:
            state["ema"] = {
                "network": self.ema.ema_model.state_dict(),
                "updates": self.ema.momentum_scheduler.event_index,
            }
        if self.early_stop is not None:
            state["early_stop"] = {"counter": self.early_stop.counter, "best_score": self.early_stop.best_score}
        self._save(state, self.last)

    def _restore(self) -> None:
        if not self.last.is_file():
            raise FileNotFoundError(f"nothing to resume: there is no {self.last}; start without --resume")
        state = torch.load(self.last, map_location="cpu", weights_only=True)
        epoch, max_epochs = state["epoch"], self.trainer.state.max_epochs
        if epoch >= max_epochs:
            raise ValueError(f"{self.last} has {epoch} epochs already: give --max_epochs above {epoch} to go on")
        self.network.load_state_dict(state["network"])
        continue_schedule(self.lr_scheduler, self.optimizer, state["lr_scheduler"], state["optimizer"])
        self._restore_options(state)
        self.trainer.state.epoch = epoch
        self.trainer.state.iteration = epoch * self.trainer.state.epoch_length
        if self.evaluator is not None:
            self.evaluator.state.best_metric = state["best_metric"]
            self.evaluator.state.best_metric_epoch = state["best_metric_epoch"]
        if "scaler" in state and self.trainer.scaler is not None:
            self.trainer.scaler.load_state_dict(state["scaler"])
        if (rank := idist.get_rank()) < len(state["random"]):
            self.trainer.add_event_handler(Events.STARTED, lambda: _set_random_state(state["random"][rank]))
        logger.info("going on from %s, after epoch %d", self.last, epoch)

    def _restore_options(self, state: dict[str, Any]) -> None:
        if self.ema is not None and "ema" in state:
            self.ema.ema_model.load_state_dict(state["ema"]["network"])
            self.ema.momentum_scheduler.event_index = state["ema"]["updates"]
        elif self.ema is not None:
            logger.info("%s has no average of weights: it begins here", self.last)
        elif "ema" in state:
            logger.warning("%s has an average of weights, which ends here: add --ema true to keep it", self.last)
        if self.early_stop is not None and "early_stop" in state:
            self.early_stop.counter = state["early_stop"]["counter"]
            self.early_stop.best_score = state["early_stop"]["best_score"]
            if self.early_stop.counter >= self.early_stop.patience:
                raise ValueError(
                    f"{self.last} was stopped after {self.early_stop.counter} validations without a better one: give "
                    f"--patience above {self.early_stop.counter}, or 0, to go on"
                )

    @staticmethod
    def _save(content: dict[str, Any], path: Path) -> None:
        if idist.get_rank() > 0:
            return
        with replacing(path) as partial, partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())


def _random_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, float(gauss)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
