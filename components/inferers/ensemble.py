"""One network with several weights: the mean of their probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import Tensor, nn


class EnsembleInferer(Inferer):
    """Averages the probabilities that a network gives with several weights, such as those of the folds.

    The average is taken on the grid of the network, after whatever another inferer does (windows, mirrors) and before
    the way back to the grid of the image, where nnU-Net (Isensee et al., 2021) averages its folds. nnU-Net averages
    their logits there; here it is their softmax, or the sigmoid of each channel. The answer is logits again, whose
    softmax or sigmoid is the average, so that all that comes after a single network works on it unchanged.

    The weights are put into the network one after another for each input: there is one network, and one answer
    beside the sum, whatever their number. Afterwards the network has the last ones. An average has no gradients, only a
    single network has.

    Args:
        inferer: any inferer of MONAI, such as ``SlidingWindowInferer``.
        network: the network that the weights are put into.
        states: its weights, by name; with a single one the answer is that of the network, bit for bit.
        sigmoid: whether each channel is a class of its own, instead of all channels sharing a softmax.

    Raises:
        ValueError: if there are no weights.

    Example:
        >>> from monai.inferers import SimpleInferer
        >>> layer = nn.Conv1d(1, 2, 1, bias=False)
        >>> states = [{"weight": torch.tensor([[[a]], [[0.0]]])} for a in (0.0, 2.0)]
        >>> EnsembleInferer(SimpleInferer(), layer, states)(torch.ones(1, 1, 1), layer).softmax(1)[0, 0]
        tensor([0.6904])
    """

    def __init__(
        self,
        inferer: Inferer,
        network: nn.Module,
        states: Sequence[Mapping[str, Tensor]],
        sigmoid: bool = False,
    ) -> None:
        super().__init__()
        if not states:
            raise ValueError("an ensemble needs weights: give one file or more")
        self.inferer, self.network, self.states, self.sigmoid = inferer, network, list(states), sigmoid

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Run the wrapped inferer with all weights.

        Args:
            inputs: batch × channels × spatial axes.
            network: what the inferer calls: the network of the constructor, or what wraps it.
            args: further arguments of the network.
            kwargs: further arguments of the network.

        Returns:
            Logits in float32 or wider, batch × classes, with or without spatial axes.
        """
        if len(self.states) == 1:
            return self._answer(self.states[0], inputs, network, args, kwargs)
        total: tuple[Tensor, ...] = ()
        with torch.no_grad():
            for state in self.states:
                logits = self._answer(state, inputs, network, args, kwargs)
                total = self._added(total, logits)
                del logits  # before the network computes the next ones
            return total[0].sub_(total[1] if self.sigmoid else math.log(len(self.states)))

    def _answer(
        self, state: Mapping[str, Tensor], inputs: Tensor, network: Callable[..., Tensor], args: Any, kwargs: Any
    ) -> Tensor:
        self.network.load_state_dict(state)
        return self.inferer(inputs, network, *args, **kwargs)

    def _added(self, total: tuple[Tensor, ...], logits: Tensor) -> tuple[Tensor, ...]:
        """Add the probabilities of logits in place to ``total``, logarithms of sums; without it begin with them."""
        dtype = torch.promote_types(logits.dtype, torch.float32)
        sums = total or tuple(torch.empty_like(logits, dtype=dtype) for _ in range(1 + self.sigmoid))
        for planes in zip(*(_planes(x) for x in (logits, *sums)), strict=True):  # temporary maps are those of a plane
            plane, *parts = planes
            for part, log in zip(parts, self._logs(plane.to(dtype)), strict=True):
                # log(Σ p) keeps what log(p) has, where p itself is 0 in float32
                part.copy_(torch.logaddexp(part, log) if total else log)
        return sums

    def _logs(self, logits: Tensor) -> list[Tensor]:
        """Logarithms of the probabilities; of sigmoid those of the complements, too."""
        return [F.logsigmoid(logits), F.logsigmoid(-logits)] if self.sigmoid else [logits.log_softmax(1)]


def _planes(x: Tensor) -> tuple[Tensor, ...]:
    """Views along the first spatial axis; those of a MetaTensor would handle their metadata in every operation."""
    x = x.as_tensor() if isinstance(x, MetaTensor) else x
    return x.unbind(2) if x.ndim > 2 else (x,)
