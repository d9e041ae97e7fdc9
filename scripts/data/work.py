"""Jobs in several processes, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

from ..errors import UserError

MOST_PROCESSES = 8
"""Largest number by default: each process holds a volume in memory."""

Job = TypeVar("Job")
Result = TypeVar("Result")


def process_count(processes: int | None) -> int:
    """Number of processes to use: the given one, or one for each processor, up to :data:`MOST_PROCESSES`."""
    return min(os.cpu_count() or 1, MOST_PROCESSES) if processes is None else processes


def work(
    function: Callable[[Job], Result], jobs: Sequence[Job], processes: int, description: str, unit: str
) -> Iterator[tuple[Job, Result]]:
    """Run a function on each job; the results come in the order in which they are ready.

    The first error, or Ctrl-C, ends it: running jobs are finished, and no more are started.

    Args:
        function: importable by name, with arguments that can be pickled.
        jobs: its arguments.
        processes: how many at once; 1 works in this process.
        description: shown before the progress bar, which appears on a terminal only.
        unit: what is counted.

    Raises:
        UserError: if the system killed a process.
    """
    with tqdm(total=len(jobs), desc=description, unit=f" {unit}", disable=None) as bar:
        if processes == 1 or len(jobs) < 2:
            for job in jobs:
                yield job, function(job)
                bar.update()
            return
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(processes, len(jobs)), context, signal.signal, (signal.SIGINT, signal.SIG_IGN))
        try:
            waiting = {pool.submit(function, job): job for job in jobs}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
                bar.update()
        except BrokenProcessPool as error:
            raise UserError(
                "a process was killed, perhaps because memory ran out: try again with --processes 1"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
