"""How the run of an engine ends: finished, failed or interrupted."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable

from ignite.engine import Engine, Events

from ..errors import one_line


class Ending:
    """Tells once for each run of an engine how it ended.

    "finished" comes after all other handlers of ``COMPLETED``. A run that raised has "failed", with the error as one
    line; it is raised again when all handlers have heard of it. Where an earlier handler raised it, or the process was
    interrupted, this is reported when the process ends. A process that is killed reports nothing.

    Args:
        ended: called with the status, "finished", "failed" or "interrupted", and the error, or empty.

    Example:
        >>> engine = Engine(lambda engine, batch: None)
        >>> Ending(lambda status, error: print(status)).attach(engine)
        >>> state = engine.run([0])
        finished
    """

    def __init__(self, ended: Callable[[str, str], None]) -> None:
        self.ended = ended
        self.running = False

    def attach(self, engine: Engine) -> None:
        """Register with an engine."""
        engine.add_event_handler(Events.STARTED, self._started)

    def _started(self, engine: Engine) -> None:
        if not self.running:
            atexit.register(self._exit)
        self.running = True
        # Now and not at attach, so that these come after the handlers of all others.
        if not engine.has_event_handler(self._finished, Events.COMPLETED):
            engine.add_event_handler(Events.COMPLETED, self._finished)
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._failed)
        if engine.has_event_handler(_raise, Events.EXCEPTION_RAISED):
            engine.remove_event_handler(_raise, Events.EXCEPTION_RAISED)
        engine.add_event_handler(Events.EXCEPTION_RAISED, _raise)

    def _finished(self) -> None:
        self._end("finished", "")

    def _failed(self, engine: Engine | None, error: BaseException | None) -> None:
        if isinstance(error, Exception):
            self._end("failed", f"{type(error).__name__}: {one_line(error)}")
        else:  # Ctrl+C, or an end of the process that is no error
            self._end("interrupted", "")

    def _exit(self) -> None:
        self._failed(None, getattr(sys, "last_value", None))

    def _end(self, status: str, error: str) -> None:
        if self.running:
            self.running = False
            atexit.unregister(self._exit)
            self.ended(status, error)


def _raise(engine: Engine, error: BaseException) -> None:
    raise error
