"""Reading of an engine's output, which MONAI makes a dictionary or a list of them."""

from __future__ import annotations

from typing import Any

from monai.utils import CommonKeys


def first_loss(output: Any) -> float | None:
    """Loss of an iteration of a MONAI trainer, or None if the output has none (as in an evaluator).

    Args:
        output: ``engine.state.output``: a number, a dictionary with "loss", or a decollated list of such dictionaries,
            which all hold the loss of the batch.
    """
    first = output[0] if isinstance(output, list) and output else output
    loss = first.get(CommonKeys.LOSS) if isinstance(first, dict) else first
    return None if loss is None or isinstance(loss, list) else float(loss)
