"""Test-time augmentation by mirroring."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor


class MirrorInferer(Inferer):
    """Averages a network's output over mirrored inputs, within whatever another inferer gives to the network.

    With a sliding window each window is mirrored, as nnU-Net (Isensee et al., 2021) does, and the inferer blends the
    averages. All combinations of the axes are run: 4 passes for two axes, 8 for three. Their answers are added in
    place, so beside the sum there is one at a time.

    Args:
        inferer: any inferer of MONAI, such as ``SlidingWindowInferer``.
        axes: spatial axes of the network's input, 0 the first after the channels; of slices for a ``SliceInferer``.

    Raises:
        ValueError: if an axis is negative or named twice.
        TypeError: while it runs, if the network answers with anything but one tensor.

    Example:
        >>> from monai.inferers import SimpleInferer
        >>> infer = MirrorInferer(SimpleInferer(), axes=[0, 1])
        >>> infer(torch.ones(1, 1, 4, 4), network=lambda x: x.cumsum(-1))[0, 0, 0]
        tensor([2.5000, 2.5000, 2.5000, 2.5000])
    """

    def __init__(self, inferer: Inferer, axes: Sequence[int]) -> None:
        super().__init__()
        if len(set(axes)) != len(axes) or min(axes, default=0) < 0:
            raise ValueError(f"axes must be different numbers from 0, the first spatial axis, on; got {list(axes)}")
        self.inferer = inferer
        self.axes = [2 + axis for axis in axes]

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Run the wrapped inferer with a network that sees each of its inputs in every mirror.

        Args:
            inputs: batch × channels × spatial axes.
            network: what the inferer calls, with one tensor as its answer.
            args: further arguments of the network.
            kwargs: further arguments of the network.
        """

        def mirrored(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            total: Tensor | None = None
            flips = [f for n in range(len(self.axes) + 1) for f in itertools.combinations(self.axes, n)]
            for flip in flips:
                output = network(torch.flip(x, flip), *args, **kwargs)
                if not isinstance(output, Tensor):
                    raise TypeError(
                        f"mirroring needs a network that answers with one tensor, not {type(output).__name__}: "
                        "call network.eval() first, or take one of its outputs"
                    )
                if total is None:
                    total = torch.flip(output, flip)  # a copy: the network's own answer may be something it keeps
                else:
                    for n in range(output.shape[1]):  # flips are copies: that of a channel is a small one
                        total[:, n : n + 1] += torch.flip(output[:, n : n + 1], flip)
                del output  # before the network computes the next one
            assert total is not None  # not to mirror is a flip, too
            return total.div_(len(flips))

        return self.inferer(inputs, mirrored, *args, **kwargs)
