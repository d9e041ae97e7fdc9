"""How long a training is."""

from __future__ import annotations

from typing import Any

EPOCHS = 20
"""A training has about so many epochs: its learning rate falls, and its state is saved, after each."""
LEAST = 4
"""A training has so many iterations at least."""


def schedule(step_seconds: float, iterations: int, cpu_seconds: float) -> dict[str, Any]:
    """Length of a training that fits both budgets.

    Args:
        step_seconds: CPU seconds of an iteration.
        iterations: at most.
        cpu_seconds: at most.

    Example:
        >>> schedule(2.0, 1000, 300.0)
        {'step_seconds': 2.0, 'epochs': 21, 'length': 7}
    """
    fitting = max(LEAST, min(iterations, int(cpu_seconds / step_seconds)))
    length = max(1, fitting // EPOCHS)
    return {"step_seconds": step_seconds, "epochs": fitting // length, "length": length}
