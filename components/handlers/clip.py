"""A bound on the gradient of each step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents


class GradientClipping:
    """Scales the gradient of all parameters down where its norm exceeds a bound, as nnU-Net does with 12.

    With mixed precision the gradients are brought back to their true scale before.

    Args:
        parameters: the parameters that the optimizer steps.
        max_norm: largest norm of all gradients together.

    Raises:
        ValueError: if ``max_norm`` is not positive.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], max_norm: float) -> None:
        if max_norm <= 0:
            raise ValueError(f"max_norm must be positive, got {max_norm}")
        self.parameters = list(parameters)
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        """Register with MONAI's trainer, between the backward pass and the step."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Clip the gradients of this iteration."""
        if engine.amp and engine.scaler is not None:
            engine.scaler.unscale_(engine.optimizer)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.max_norm)
