"""A handler that disturbs a training of several processes."""

import os
import signal
from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Events


class Disturb:
    """Kills the second process in an iteration, and in a later one asks the launcher to end; each only once.

    Args:
        folder: where it notes what it did.
        kill: number of the iteration in which the process is killed.
        end: number of the one in which the launcher gets SIGTERM.
    """

    def __init__(self, folder, kill, end):
        self.folder, self.kill, self.end = Path(folder), kill, end

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_STARTED(once=self.kill), self._do, 1, "killed", self._kill)
        engine.add_event_handler(Events.ITERATION_STARTED(once=self.end), self._do, 0, "ended", self._end)

    def _do(self, rank, name, what):
        if idist.get_rank() == rank and not (self.folder / name).exists():
            (self.folder / name).touch()
            what()

    @staticmethod
    def _kill():
        os.kill(os.getpid(), signal.SIGKILL)

    @staticmethod
    def _end():
        os.kill(os.getppid(), signal.SIGTERM)
