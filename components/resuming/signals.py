"""The signals that ask a training to end."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import Any

import ignite.distributed as idist

HEARD = (signal.SIGTERM, signal.SIGINT)
ECHO = 2.0
"""Seconds in which a signal that comes again is the same one: a launcher passes on what its processes got, too."""


class Signals:
    """Keeps SIGTERM and SIGINT (Ctrl+C) for the next moment at which a training can end; a second one ends it at once.

    A context manager. Outside of the main thread, where Python allows no handlers, it does nothing. Once it received a
    signal it stays until the process ends, so that one that comes again does not disturb the end.

    Example:
        >>> with Signals() as signals:
        ...     signals.agreed()  # after SIGTERM it is 15
        0
    """

    def __init__(self) -> None:
        self.heard = 0
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in HEARD}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items() if not self.heard else ():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def agreed(self) -> int:
        """Number of the signal that any of the processes got until now, the same in all of them; 0 for none."""
        return int(idist.all_reduce(self.heard, "MAX")) if idist.get_world_size() > 1 else self.heard

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if not self.heard:
            self.heard, self._since = number, time.monotonic()
        elif time.monotonic() - self._since > ECHO:
            os._exit(128 + number)


@contextlib.contextmanager
def sheltered() -> Iterator[None]:
    """Processes and threads that start in here do not get the signals: the training stops its loader's workers itself.

    A terminal or a batch system signals all processes of a training, and PyTorch takes the death of a worker for an
    error. What is signalled meanwhile is heard at the end. Where the system cannot hold signals back, they come.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    others = set(multiprocessing.active_children())
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if started := set(multiprocessing.active_children()) - others:
            if not _sheltered:
                atexit.register(_end_sheltered)
            _sheltered.update(started)


_sheltered: weakref.WeakSet[Any] = weakref.WeakSet()


def _end_sheltered() -> None:
    """End the workers that an error left: Python ends those by SIGTERM, which they do not get, and waits for them."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch would raise an error at the end of each
    for process in list(_sheltered):
        if process.is_alive():
            process.kill()
