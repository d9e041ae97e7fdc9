"""How fast a processor is: CPU seconds of one machine are not those of another."""

from __future__ import annotations

import statistics
import time

from ..limits import convolution, operations

CHANNELS, SIZE, ROUNDS = 32, (24, 80, 112), 5


def convolution_rate() -> float:
    """Operations a CPU second of a 3D convolution in float32, which most of these networks' time goes into."""
    run, seconds = convolution(CHANNELS, SIZE), []
    for _ in range(1 + ROUNDS):
        begin = time.process_time()
        run()
        seconds.append(time.process_time() - begin)
    return operations(CHANNELS, SIZE) / statistics.median(seconds[1:])
