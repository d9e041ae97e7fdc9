"""Training of a part of a network that starts later than the rest."""

from __future__ import annotations

from ignite.engine import Engine, Events
from torch import nn


class FreezeEncoder:
    """Keeps a pre-trained part of a network unchanged in the first epochs.

    At the start of each epoch the part's parameters get or lose ``requires_grad``, by the number of the epoch alone, so
    a resumed training continues in the same state. Parameters that needed no gradient before stay so. An optimizer
    leaves frozen parameters alone, weight decay included, because their gradient is None.

    ``DistributedDataParallel`` needs ``find_unused_parameters=True`` while a part is frozen.

    Args:
        network: the network, wrapped for many processes or not.
        epochs: number of epochs without training of the part; 0 does nothing.
        prefix: start of the names of the part's parameters.

    Raises:
        ValueError: if ``epochs`` is negative, or no parameter's name starts with ``prefix``.
    """

    def __init__(self, network: nn.Module, epochs: int, prefix: str = "encoder") -> None:
        if epochs < 0:
            raise ValueError(f"epochs is {epochs}, but must be 0 (never frozen) or more")
        inner = getattr(network, "module", network)
        parameters = dict(inner.named_parameters())
        part = [parameter for name, parameter in parameters.items() if name.startswith(prefix)]
        if epochs and not part:
            tops = sorted({name.split(".")[0] for name in parameters})
            raise ValueError(f"no parameter's name starts with {prefix!r}: the network has {', '.join(tops)}")
        self.epochs = epochs
        self.parameters = [parameter for parameter in part if parameter.requires_grad]

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        if self.epochs:
            engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Freeze or free the part for the epoch that starts."""
        train = engine.state.epoch > self.epochs
        for parameter in self.parameters:
            parameter.requires_grad_(train)
            if not train:
                parameter.grad = None
