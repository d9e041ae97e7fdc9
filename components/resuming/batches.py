"""Batches that depend on the seed and the epoch alone, so that a training can continue in the middle of one."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import set_rnd

from .random_state import random_state, set_random_state
from .signals import sheltered


class EpochBatches:
    """Makes each epoch of a trainer read its loader from the start, with random numbers of the epoch's own.

    What a loader draws (the order of the cases, the seeds of its workers) and what MONAI's random transforms draw in
    this process follows from the seed, the process, the epoch and how often the loader was read through in it. It does
    not depend on the epochs before, as it does with the transforms' own states, which live as long as their process.
    Batches that an interrupted training had already are read again and left out.

    Where an epoch has fewer iterations than the loader has batches, each epoch begins at the loader's first batch.

    Args:
        loader: the trainer's loader; not one with ``persistent_workers``, whose workers keep the states of theirs.
        trainer: the trainer; its ``data_loader`` is replaced by this.
        seed: any number, in each process; by default PyTorch's, which ``monai.utils.set_determinism`` sets.
    """

    def __init__(self, loader: Iterable[Any], trainer: Engine, seed: int | None = None) -> None:
        self.loader = loader
        self.sheltered = ShelteredLoader(loader)
        self.trainer = trainer
        self.seed = torch.initial_seed() if seed is None else seed
        self.skip = 0
        """Batches of the first epoch that a training which goes on has had."""
        self._pass = (-1, 0)

    def attach(self) -> None:
        """Register with the trainer."""
        self.trainer.data_loader = self
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: self.trainer.set_data(self))

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        through, skip = divmod(self.skip, len(self.loader)) if self.skip else (0, 0)
        self.skip = 0
        seed = self._seed(through)
        before = random_state() if skip else None
        set_rnd(getattr(self.loader, "dataset", None), seed)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            batches = iter(self.sheltered)
            first = next(batches)  # only now is the order drawn
        if before is None:
            yield first
        else:
            collections.deque(itertools.islice(batches, skip - 1), maxlen=0)
            set_random_state(before)
        yield from batches

    def _seed(self, through: int) -> int:
        """A seed for this reading of the loader, of which the epoch has had ``through`` or those counted here."""
        epoch, count = self._pass
        self._pass = (self.trainer.state.epoch, count + 1 if epoch == self.trainer.state.epoch else through)
        words = [self.seed, idist.get_rank(), *self._pass]
        return int(np.random.SeedSequence(words).generate_state(1)[0])


class ShelteredLoader:
    """A loader whose workers are not ended by the signals that a training hears, see :func:`sheltered`.

    Args:
        loader: the loader.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        with sheltered():
            return iter(self.loader)
