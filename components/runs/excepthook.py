"""The end of a run by an error: one line on stderr and an exit status."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from types import TracebackType

from ..errors import in_words, root_cause

DEBUG = "SCANSEG_DEBUG"
"""Environment variable that shows the traceback of an error as well."""


def tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Tell an error that ends the process, as ``sys.excepthook``.

    Raises:
        SystemExit: always, with 2 if the user can fix it, 130 after an interrupt, 1 for any other error.
    """
    if os.environ.get(DEBUG):
        sys.__excepthook__(kind, error, traceback)
    if issubclass(kind, KeyboardInterrupt):
        message, status = "interrupted", 130
    else:
        message, can_be_mended = in_words(error)
        status = 2 if can_be_mended else 1
        if not can_be_mended:
            message = (
                f"unexpected {type(root_cause(error)).__name__}: {message}; {DEBUG}=1 in the environment shows where"
            )
    _end_workers()
    rank = os.environ.get("RANK", "0")
    # not sys.stderr: in a process group PyTorch's own hook takes that, and loses what it has when this one raises
    (sys.__stderr__ or sys.stderr).write(f"scanseg: {f'process {rank}: ' if rank != '0' else ''}{message}\n")
    raise SystemExit(status)


def _end_workers() -> None:
    """End the processes that load data, which may not listen to the signal that Python sends at its own end."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch would raise an error at the end of each
    for child in multiprocessing.active_children():
        child.kill()
