"""Several processes that share the cases, as torchrun starts them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist

from components.runs import end_group

from ..errors import UserError

T = TypeVar("T")
LONGEST_WAIT = timedelta(days=30)
"""How long a process that is done waits for the others."""


@dataclass(frozen=True)
class Ranks:
    """This process among the others.

    Args:
        rank: number of this process.
        count: number of processes.
        local: number of this process on its machine, which is the number of its GPU.
        connected: whether the launcher lets the processes find each other (``MASTER_ADDR``).
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    connected: bool = False

    @classmethod
    def of_environment(cls) -> Ranks:
        """Read ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK``.

        Raises:
            UserError: if they make no sense.
        """
        words = {name: os.environ.get(name, default) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"))}
        words["LOCAL_RANK"] = os.environ.get("LOCAL_RANK", words["RANK"])
        try:
            rank, count, local = (int(word) for word in words.values())
        except ValueError:
            rank, count, local = -1, 0, 0
        if not 0 <= rank < count or local < 0:
            shown = ", ".join(f"{name}={word}" for name, word in words.items())
            raise UserError(
                f"the environment has {shown}, but RANK must be from 0 to WORLD_SIZE − 1: unset or correct them"
            )
        return cls(rank, count, local, "MASTER_ADDR" in os.environ and "MASTER_PORT" in os.environ)

    def share(self, items: Sequence[T]) -> list[T]:
        """Every ``count``-th item: the shares of all processes together are all items, each once."""
        return list(items[self.rank :: self.count])

    def total(self, counts: Counter[str]) -> Counter[str]:
        """Add up the counts of all processes, once all of them are done.

        Without this a launcher would see the first failure and end the processes that are still at work.
        """
        if self.count == 1 or not self.connected:
            return counts
        dist.init_process_group("gloo", timeout=LONGEST_WAIT)
        try:
            everyones: list[Counter[str] | None] = [None] * self.count
            dist.all_gather_object(everyones, counts)
        finally:
            end_group()
        return sum((c for c in everyones if c), Counter())
