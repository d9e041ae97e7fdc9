"""Which cases a process evaluates, where there are several."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import ignite.distributed as idist
from torch.utils.data import Sampler


class EvaluationSampler(Sampler[int]):
    """Gives every process its own run of the cases: each case once, none repeated to fill up.

    The runs follow each other in the order of the processes, so that what is gathered from all of them has the order
    of the data set, and means over it are those of a single process to the last bit. (``DistributedSampler`` repeats
    cases or deals them in turns.) With fewer cases than processes each of them evaluates all cases, which weights the
    cases alike: an engine without any case would not take part in the gathering, and the others would wait for it.

    Args:
        dataset: the cases.

    Example:
        >>> list(EvaluationSampler(["a", "b", "c"]))  # a single process
        [0, 1, 2]
    """

    def __init__(self, dataset: Sized) -> None:
        cases, rank, processes = len(dataset), idist.get_rank(), idist.get_world_size()
        if cases < processes:
            self.indices = range(cases)
        else:
            self.indices = range(cases * rank // processes, cases * (rank + 1) // processes)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)
