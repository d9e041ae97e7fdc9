"""A training for a short budget: ``configs/short.json`` with as many iterations as fit, and a network small enough.

The recipe of 1,000 epochs is for a GPU and a day. Cut to an hour of a CPU it leaves a network that has hardly learned:
its learning rate never falls, and a large network takes few steps. AdamW in one cycle of the learning rate (Smith and
Topin, arXiv 1708.07120) with an average of the weights was better in the bundles of this collection that have weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from components import machine

from ..errors import UserError, reason
from .plan import Choice, Plan
from .summary import Measurement
from .topology import Topology, smaller, topology

UNITS = {"h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}
STEPS = 0.7
"""Part of the budget for training steps; the rest is for the start, the loading of data and the validations."""
VALIDATING = 0.1
"""Part of the budget for validations, of which there are at most :data:`VALIDATIONS`."""
VALIDATIONS = 3
WANTED = 800
"""The network is made smaller until this number of iterations fits: trainings of 600 to 1,100 gave usable weights."""
EPOCH = 20
"""Iterations of an epoch."""
BATCH = {2: 4, 3: 2}
"""Patches in a batch on a CPU at most, by the number of axes."""
SLICES = 8
"""The same for MSVM-UNet."""
NARROW = 16
"""Features of the first stage of a smaller network, instead of 32."""
LEAST_VOXELS = {2: 128**2, 3: 32**3}
"""Patches are not made smaller than this."""
LEARNING_RATE = {"xlstm": 2e-3, "msvm": 5e-4}
# PyTorch's cycle of five steps divides by 0 where a fifth of them rises: few epochs rise for longer.
ONE_CYCLE: dict[str, Any] = {
    "optimizer": {
        "_target_": "torch.optim.AdamW",
        "params": "$@network.parameters()",
        "lr": "@learning_rate",
        "weight_decay": "@weight_decay",
    },
    "lr_scheduler": {
        "_target_": "torch.optim.lr_scheduler.OneCycleLR",
        "optimizer": "@optimizer",
        "max_lr": "@learning_rate",
        "total_steps": "$@max_epochs + 1",
        "pct_start": "$max(0.2, 1.5 / (@max_epochs + 1))",
        "cycle_momentum": False,
    },
}
ROUNDS = 3
"""A step is measured so often."""

Step = Callable[[Topology | None, int], float]
"""Seconds of a training step of the network with these stages (None for MSVM-UNet) and batch."""


def seconds(budget: str) -> float:
    """A time in words as seconds.

    Raises:
        UserError: if it is not a time of a minute or more.

    Example:
        >>> seconds("1h"), seconds("90m"), seconds("1h30min")
        (3600.0, 5400.0, 5400.0)
    """
    text = str(budget).replace(" ", "").lower()
    found = re.fullmatch(r"(?:(?P<h>[\d.]+)h)?(?:(?P<m>[\d.]+)m(?:in)?)?(?:(?P<s>[\d.]+)s)?", text)
    try:
        total = sum(float(number) * UNITS[unit] for unit, number in found.groupdict("0").items()) if found else 0.0
    except ValueError:
        total = 0.0
    if not 60 <= total < math.inf:
        raise UserError(f"--budget needs a time of a minute or more, such as 1h, 45m or 1h30m, not {budget!r}")
    return total


@dataclass(frozen=True)
class Short:
    """A short training.

    Args:
        config: content of ``short.json``.
        choice: it in words, for the plan.
    """

    config: dict[str, Any]
    choice: Choice


class Budget:
    """Fits network and training into a time on this machine.

    Args:
        seconds: of the whole training, by the clock.
        found: the data set.
        network: "xlstm" or "msvm".
        variant: of xLSTM-UNet.
        step_seconds: seconds of a training step, where they are not to be measured here: then the network stays as it
            is planned.
        step: measures a training step; by default the network is run on this machine.

    Raises:
        UserError: if ``step_seconds`` is not positive.
    """

    def __init__(
        self,
        seconds: float,
        found: Measurement,
        network: str,
        variant: str,
        step_seconds: float | None = None,
        step: Step | None = None,
    ) -> None:
        if step_seconds is not None and not 0 < step_seconds < math.inf:
            raise UserError(f"--step_seconds needs a number above 0, not {step_seconds!r}")
        self.seconds, self.network, self.dims = seconds, network, found.spatial_dims
        self.slices = 1 if self.dims == 2 else int(np.median(found.shapes, axis=0).min())
        self.step_seconds = step_seconds
        self.planned_batch = step_seconds is None and has_cuda()
        self.mixed = mixed_here()
        self.step = step or _Machine(found, network, variant)
        self._steps: dict[tuple[Topology | None, int], float] = {}

    @property
    def longest(self) -> float:
        """Longest time of a step in seconds."""
        return STEPS * self.seconds / WANTED

    def fit(self, found: Topology, pixdim: Sequence[float], median: Sequence[int]) -> tuple[Topology, str]:
        """Make a network smaller until the wanted number of steps fits.

        Args:
            found: as it is planned.
            pixdim: target spacing.
            median: median shape at this spacing.

        Returns:
            Its stages, and why they are not those that are planned; no words where they are.

        Raises:
            UserError: if not even the smallest network could be run on this machine.
        """
        if self.step_seconds is not None:
            return found, ""
        for tried in _candidates(found, pixdim, median):
            if self._seconds(tried, BATCH[self.dims]) <= self.longest:
                break
        if math.isinf(self._seconds(tried, BATCH[self.dims])):
            raise UserError("no training step of the planned network could run here: give --step_seconds")
        return tried, "" if tried is found else f"smaller, so that {WANTED} iterations fit into the budget"

    def training(self, plan: Plan, items: int, validation: int) -> Short:
        """Plan the training.

        Args:
            plan: the settings of the bundle.
            items: number of training items.
            validation: number of validation items.

        Raises:
            UserError: if no step of the network could be run on this machine.
        """
        batch = min(plan.batch_size, SLICES if self.network == "msvm" else BATCH[self.dims])
        step = self._seconds(plan.topology, batch)
        if self.planned_batch and (longer := self._seconds(plan.topology, plan.batch_size)) <= self.longest:
            batch, step = plan.batch_size, longer
        if math.isinf(step):
            raise UserError("no training step of the planned network could run here: give --step_seconds")
        iterations = max(2, int(STEPS * self.seconds / step))
        length = -(-items // batch) if self.network == "msvm" else min(EPOCH, -(-iterations // 2))
        epochs = max(2, iterations // length)
        windows = self.slices
        if plan.median_shape:  # windows overlap by half
            windows = math.prod(2 * -(-m // p) - 1 for m, p in zip(plan.median_shape, plan.patch_size, strict=True))
        one = max(validation, 1) * windows * step / (3 * batch)  # a forward pass is a third of a step
        validations = min(VALIDATIONS, int(VALIDATING * self.seconds / one))
        rate = "as given" if self.step_seconds is not None else "measured on this machine"
        config = {
            "amp": self.mixed and self.network == "xlstm",
            "max_epochs": epochs,
            **({} if self.network == "msvm" else {"epoch_length": length}),
            "val_interval": max(1, epochs // validations) if validations else epochs + 1,
            "ema": True,
            "ema_momentum": ema_momentum(epochs * length),
            "batch_size": batch,
            "cache_rate": 1.0,
            "learning_rate": LEARNING_RATE[self.network],
            "weight_decay": 0.01,
            **ONE_CYCLE,
        }
        words = f"{epochs} epochs of {length} iterations of batch {batch}, AdamW in one cycle"
        why = f"short.json, for {_time(self.seconds)}: a step takes {step:.2g} s, {rate}"
        if not validations:
            why += "; no validation, which would take too long"
        return Short(config, Choice("short training", words, why))

    def _seconds(self, found: Topology | None, batch: int) -> float:
        if self.step_seconds is not None:
            return self.step_seconds
        key = found, batch
        if key not in self._steps:
            self._steps[key] = self.step(found, batch)
        return self._steps[key]


def ema_momentum(iterations: int) -> float:
    """Momentum of an average over about the last fifth of a training."""
    return round(min(0.1, max(0.001, 5 / iterations)), 4)


def has_cuda() -> bool:
    """Whether trainings run on a GPU here."""
    return machine.accelerator() == "cuda"


def mixed_here() -> bool:
    """Whether mixed precision is faster on this machine: with CUDA, or a processor with instructions for bfloat16."""
    return has_cuda() or bool({"amx_bf16", "avx512_bf16"} & set(machine.cpu_flags()))


def _candidates(found: Topology, pixdim: Sequence[float], median: Sequence[int]) -> Iterator[Topology]:
    """The planned network, one with half of its features, then smaller and smaller patches of that."""
    yield found
    narrow = replace(found, width=NARROW)
    yield narrow
    while True:
        last, tried = math.prod(narrow.patch_size), narrow
        while math.prod(tried.patch_size) > last / 2:
            if (less := smaller(pixdim, tried, median)) is None or math.prod(less.patch_size) < LEAST_VOXELS[
                len(pixdim)
            ]:
                return
            tried = less
        narrow = replace(topology(pixdim, tried.patch_size).within(found.widths), width=NARROW)
        yield narrow


class _Machine:
    """Training steps of the network on this machine."""

    def __init__(self, found: Measurement, network: str, variant: str) -> None:
        self.channels, self.classes = len(found.channels), len(found.classes)
        self.network, self.variant = network, variant

    def __call__(self, found: Topology | None, batch: int) -> float:
        """Seconds of the fastest step of a few; infinity where it cannot be run, such as for too little memory."""
        import torch

        from ..bench import models, timing

        device = "cuda" if has_cuda() else "cpu"
        if found is None:
            name, plan = models.MSVM, models.NetworkPlan(self.channels, self.classes, (224, 224), (), (), ())
        else:
            name = models.BOT if self.variant == "bot" else models.ENC
            stages = found.features, found.kernel_sizes, found.strides
            plan = models.NetworkPlan(self.channels, self.classes, found.patch_size, *stages)
        mode = "training, bfloat16" if mixed_here() and found is not None else "training"
        try:
            network = models.build(name, plan).to(device)
            step = models.run(network, torch.randn(plan.input(batch)).to(device), mode)
            timing.once(step, device)
            return min(timing.once(step, device) for _ in range(ROUNDS))
        except (RuntimeError, MemoryError) as error:
            print(f"scanseg: a training step could not be measured: {reason(error)}")
            return math.inf


def _time(total: float) -> str:
    """Seconds as a person says them.

    Example:
        >>> _time(5400.0), _time(3600.0), _time(600.0)
        ('1 h 30 min', '1 h', '10 min')
    """
    hours, minutes = divmod(round(total / 60), 60)
    return " ".join([*([f"{hours} h"] if hours else []), *([f"{minutes} min"] if minutes else [])])
