"""A progress bar that shows the loss and the time left."""

from __future__ import annotations

import time
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from tqdm import tqdm

from .output import first_loss


class Progress(ProgressBar):
    """Bar over the iterations of an epoch, with the loss and the time left until the last epoch ends.

    It writes to stderr and stays silent where that is not a terminal. Of many processes the first one shows it.

    Args:
        desc: text in front of the bar; "Epoch" or "Iteration" by default.
        persist: keep the bar of each epoch on the screen.
        kwargs: further arguments of ``tqdm.tqdm``.

    Example:
        >>> Progress(desc="Training").attach(Engine(lambda engine, batch: {"loss": 0.5}))
    """

    def __init__(self, desc: str = "", persist: bool = False, **kwargs: Any) -> None:
        layout = "{desc}[{n_fmt}/{total_fmt}] {percentage:3.0f}%|{bar}{postfix}"
        super().__init__(persist, layout, **{"disable": None, **({"desc": desc} if desc else {}), **kwargs})
        self._begin: tuple[float, int] | None = None

    def attach(self, engine: Engine) -> None:
        """Register with a trainer or an evaluator."""
        if idist.get_rank() > 0:
            return
        engine.add_event_handler(Events.STARTED, self._forget)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        super().attach(engine, output_transform=lambda output: self._postfix(engine, output))

    def _forget(self) -> None:
        self._begin = None

    def _start(self, engine: Engine) -> None:
        # Not at STARTED: a checkpoint that is loaded then still moves the iteration on.
        self._begin = self._begin or (time.monotonic(), engine.state.iteration)

    def _postfix(self, engine: Engine, output: Any) -> dict[str, Any]:
        state, (begin, first) = engine.state, self._begin
        in_epoch = state.epoch_length - 1 - (state.iteration - 1) % state.epoch_length
        ahead = (state.max_epochs - state.epoch) * state.epoch_length + in_epoch
        left = tqdm.format_interval((time.monotonic() - begin) / (state.iteration - first) * ahead)
        loss = first_loss(output)
        return {"left": left} if loss is None else {"loss": loss, "left": left}
