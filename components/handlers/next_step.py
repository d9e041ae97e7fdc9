"""The last line of a run: what it made, and the command that comes next."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser

from ..runs.command import ARGUMENTS, given_arguments

logger = logging.getLogger(__name__)


class NextStep:
    """Logs at the end of a run of ``monai.bundle run`` where its products are and what to type next.

    Where a bundle is run by other code, as in a server, it says nothing. Of many processes the first one speaks.

    Args:
        made: paths of the products; those that there are are named.
        command: words of the next command; empty for none. Where it has a ``--config_file``, the overrides of this run
            that this config knows, too, are added.

    Example:
        >>> NextStep(["output/predictions"]).attach(Engine(lambda engine, batch: None))
    """

    def __init__(self, made: Sequence[str], command: Sequence[str] = ()) -> None:
        self.made = [str(path) for path in made]
        self.command = [str(word) for word in command]

    def attach(self, engine: Engine) -> None:
        """Register with a trainer or an evaluator."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.STARTED, self._started)

    def _started(self, engine: Engine) -> None:
        if not engine.has_event_handler(self._tell, Events.COMPLETED):  # behind what others do at the end
            engine.add_event_handler(Events.COMPLETED, self._tell)

    def _tell(self) -> None:
        given = given_arguments(sys.orig_argv)
        if given is None:
            return
        there = ", ".join(path for path in self.made if Path(path).exists())
        words = [*self.command, *self._overrides(given)] if self.command else []
        parts = [f"ready: {there}" if there else "", f"next: {shlex.join(words)}" if words else ""]
        logger.info("; ".join(part for part in parts if part))

    def _overrides(self, given: dict[str, Any]) -> list[str]:
        """Overrides of this run for the next one."""
        if "--config_file" not in self.command:
            return []
        known = ConfigParser.load_config_file(self.command[self.command.index("--config_file") + 1])
        own = {word.removeprefix("--") for word in self.command if word.startswith("--")}
        kept = {name: value for name, value in given.items() if name not in (*ARGUMENTS, *own)}
        kept = {name: value for name, value in kept.items() if name.replace("::", "#").partition("#")[0] in known}
        return [word for name, value in kept.items() for word in (f"--{name}", str(value))]
