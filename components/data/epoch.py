"""Epochs of a fixed number of iterations, in which every item knows its place in the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import numpy as np
from monai.data import CacheDataset
from monai.transforms import Compose, Randomizable, RandomizableTrait, Transform
from monai.utils import MAX_SEED

from .persistent import PreparedCases


class EpochDataset(Randomizable, CacheDataset):
    """Draws cases with replacement, and marks the last ones of each batch for a patch centred on foreground.

    An epoch has ``iterations × batch_size`` items whatever the number of cases. Which place an item has in its batch is
    fixed, which case it shows is drawn when it is asked for. The item at place ``i`` gets ``foreground_key`` true where
    ``i ≥ round(batch · (1 − foreground_fraction))``, as in nnU-Net (Isensee et al., 2021). With several processes the
    batch is all of theirs together, the first process first. :class:`components.transforms.RandPatchd` reads the mark.

    Use it with a loader of the same ``batch_size`` that keeps the order (``shuffle=False``, no sampler), in each of
    several processes too: they draw their own items. MONAI's ``DataLoader`` seeds the cases and the transforms of each
    worker, so that a run after ``set_determinism`` can be repeated; processes that train together need other seeds.

    Args:
        data: the cases, a list of dictionaries or another data set.
        transform: what is done to each drawn item, a transform or a list of them. What comes before the first random
            one is kept for the cases in the cache, and must leave the mark alone.
        batch_size: batch size of the loader, in each process.
        iterations: number of batches in an epoch.
        foreground_fraction: part of a batch that is centred on foreground, 0 to 1.
        foreground_key: name of the mark in the item.
        cache_rate: part of the cases that is kept in memory as prepared by the deterministic transforms, 0 to 1. A
            case takes its images there, at the size and in the type that these transforms give.
        num_workers: threads that prepare the cases for the cache.
        cache_dir: folder that keeps prepared cases from run to run, see :class:`PreparedCases`; None for none. What is
            in memory comes from it, too.

    Raises:
        ValueError: if there are no cases or an argument is out of its range.

    Example:
        >>> epoch = EpochDataset([{"image": 1}, {"image": 2}], batch_size=12, iterations=250)
        >>> len(epoch), [epoch[i]["foreground"] for i in (0, 7, 8, 11, 12)]
        (3000, [False, False, True, True, False])
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Sequence[Callable] | Callable | None = None,
        batch_size: int = 1,
        iterations: int = 250,
        foreground_fraction: float = 0.33,
        foreground_key: str = "foreground",
        cache_rate: float = 0.0,
        num_workers: int = 1,
        cache_dir: str | None = None,
    ) -> None:
        if not len(data):
            raise ValueError("there are no cases: give at least one in data")
        if batch_size < 1 or iterations < 1:
            raise ValueError(f"batch_size and iterations must be 1 or more, got {batch_size} and {iterations}")
        if not 0 <= foreground_fraction <= 1:
            raise ValueError(f"foreground_fraction must be a number from 0 to 1, got {foreground_fraction}")
        if not isinstance(transform, Compose):
            transform = Compose([] if transform is None else transform)
        self._first_random = transform.get_index_of_first(
            lambda t: isinstance(t, RandomizableTrait) or not isinstance(t, Transform)  # as CacheDataset
        )
        self._kept = None if cache_dir is None else PreparedCases(cache_dir, transform.transforms[: self._first_random])
        super().__init__(data, transform, cache_rate=cache_rate, num_workers=num_workers, progress=False)
        self.batch_size, self.iterations = batch_size, iterations
        self.foreground_key = foreground_key
        self._offset = idist.get_rank() * batch_size
        self._first_foreground = round(idist.get_world_size() * batch_size * (1 - foreground_fraction))

    def __len__(self) -> int:
        return self.batch_size * self.iterations

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> EpochDataset:
        """Make the drawn cases and their transforms reproducible; returns self."""
        super().set_random_state(seed, state)
        self.transform.set_random_state(seed=self.R.randint(MAX_SEED, dtype="uint32"))
        return self

    def randomize(self) -> int:
        """Draw the number of a case."""
        return self.R.randint(len(self.data))

    def _transform(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of an epoch of {len(self)}")
        place = self._offset + index % self.batch_size
        case = self.randomize()
        prepared = self._cache[case] if case < self.cache_num else self._load_cache_item(case)
        item = {**prepared, self.foreground_key: place >= self._first_foreground}
        return item if self._first_random is None else self.transform(item, start=self._first_random)

    def _load_cache_item(self, idx: int) -> Any:
        def prepare() -> Any:
            return super(EpochDataset, self)._load_cache_item(idx)

        return prepare() if self._kept is None else self._kept.get(self.data[idx], prepare)
