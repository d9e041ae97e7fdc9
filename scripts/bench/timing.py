"""Times of alternatives, measured in turns in one process."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

from ..errors import reason

Run = Callable[[], object]
Tell = Callable[[str], None]

SLOW, FEW = 20.0, 2
"""What took 20 times as long as the fastest in the first round takes part in 2 rounds only."""
BLOCK, MOST = 0.05, 1000
"""Seconds of a block of short runs, and how many there are in it at most."""
COMPILES = 10.0
"""Seconds above which a first run is not repeated to find out whether it is short."""


def once(run: Run, device: str = "cpu", count: int = 1) -> float:
    """Seconds of a run, the mean of some without a pause between, until the device has done all of it."""
    synchronise(device)
    begin = time.perf_counter()
    for _ in range(count):
        run()
    synchronise(device)
    return (time.perf_counter() - begin) / count


def in_turns(
    runs: Mapping[str, Run],
    rounds: int,
    device: str = "cpu",
    tell: Tell = lambda text: None,
    block: float = BLOCK,
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Time alternatives of one work, so that a machine whose speed drifts treats all of them alike.

    After a warm-up, in which kernels are compiled, each round runs all of them, forwards and backwards in alternation.

    Args:
        runs: the alternatives by name.
        rounds: timed runs of each; fewer for what is very slow, see :data:`SLOW`.
        device: device type that they run on.
        tell: called with what is running.
        block: a shorter one is run again and again in each round, until it is full, and the mean is taken; 0 for none.

    Returns:
        The seconds of each by round, and for those that failed, whose times are left out, the reason.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    counts: dict[str, int] = {}
    failed: dict[str, str] = {}
    for turn in range(-1, rounds):
        fastest = min((times[0] for times in seconds.values() if times), default=0.0)
        for name in runs if turn % 2 == 0 else reversed(runs):
            if name in failed or (turn >= FEW and seconds[name][0] > SLOW * fastest):
                continue
            tell(f"{name}, {'warm-up' if turn < 0 else f'{turn + 1} of {rounds}'}")
            try:
                took = once(runs[name], device, counts.get(name, 1))
                if turn < 0 < block:
                    took = once(runs[name], device) if took < COMPILES else took
                    counts[name] = max(1, min(MOST, math.ceil(block / max(took, 1e-9))))
            except Exception as error:  # an alternative that cannot run is reported, and the others continue
                failed[name] = reason(error)
                del seconds[name]
                continue
            if turn >= 0:
                seconds[name].append(took)
    return seconds, failed


def median_ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    """Median over the rounds of the ratio of two alternatives; rounds that only one of them ran are left out.

    Example:
        >>> median_ratio([1.0, 2.0, 9.0], [2.0, 2.0, 3.0])
        1.0
    """
    return statistics.median(a / b for a, b in zip(ours, other, strict=False))


def synchronise(device: str) -> None:
    """Wait until a device has done all that it was asked for."""
    if device != "cpu":
        torch.accelerator.synchronize()
