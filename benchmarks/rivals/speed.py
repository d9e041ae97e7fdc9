"""How fast a processor is: CPU seconds of one machine are not those of another."""

from __future__ import annotations

import statistics
import time

import torch
from torch.nn import functional as F

CHANNELS, SIZE, ROUNDS = 32, (24, 80, 112), 5


def convolution_rate() -> float:
    """Operations a CPU second of a 3D convolution in float32, which most of these networks' time goes into."""
    x, weight = torch.ones(1, CHANNELS, *SIZE), torch.ones(CHANNELS, CHANNELS, 3, 3, 3)
    seconds = []
    with torch.no_grad():
        for _ in range(1 + ROUNDS):
            begin = time.process_time()
            F.conv3d(x, weight, padding=1)
            seconds.append(time.process_time() - begin)
    return 2.0 * weight.numel() * x[0, 0].numel() / statistics.median(seconds[1:])
