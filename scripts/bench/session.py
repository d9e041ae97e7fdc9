"""What a measurement is to be like, and the place of its works: data sets, progress, speed of the memory."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from components.validation import check_choice

from ..data.sample import SAMPLES, sample
from ..kernel_cases import Inputs
from .timing import BLOCK, Run, in_turns

Row = dict[str, Any]
"""One thing measured, as ``bench.json`` has it: ``work``, ``case`` and ``name`` say what; ``seconds`` are raw times,
``peak_bytes`` a memory; ``failed`` says why it could not be measured. Rows of one case were timed in turns."""


@dataclass(frozen=True)
class Settings(Inputs):
    """How to measure, and on what: the seed is that of the weights, too; numbers of a quick run say nothing.

    Args:
        repeats: timed runs of each alternative.
        threads: CPU threads.
        weights: file of weights for the agreement of the precisions, or None.
    """

    repeats: int = 7
    threads: int = 1
    weights: str | None = None


@dataclass
class Session:
    """A measurement under way.

    Args:
        settings: how to measure.
        folder: for data sets and outputs of trainings; deleted afterwards.
        bar: progress over the works.
    """

    settings: Settings
    folder: Path
    bar: tqdm | None = None

    def tell(self, text: str) -> None:
        """Show on the terminal what is being measured."""
        if self.bar is not None:
            self.bar.set_postfix_str(text)

    def timed(
        self, rows: Mapping[str, Row], runs: Mapping[str, Run], label: str = "", rounds: int | None = None
    ) -> Iterator[Row]:
        """Time alternatives in turns.

        Args:
            rows: what is known of each alternative, by name; one that has failed already stays as it is.
            runs: the runs of those that can be timed.
            label: shown on the terminal before what runs.
            rounds: timed runs of each; ``repeats`` by default.

        Yields:
            Each row with its ``seconds``, or with the reason why it ``failed``.
        """
        settings = self.settings
        seconds, failed = in_turns(
            runs,
            rounds or settings.repeats,
            settings.device,
            lambda text: self.tell(f"{label}, {text}"),
            settings.size(BLOCK, 0.0),
        )
        for name, row in rows.items():
            if name in failed:
                yield {**row, "failed": failed[name]}
            elif name in seconds:
                yield {**row, "seconds": seconds[name]}
            else:
                yield row

    def sample(self, bundle: str) -> Path:
        """The sample data set of a bundle, made when it is first asked for."""
        check_choice("bundle", bundle, SAMPLES)
        folder = self.folder / "samples" / bundle
        if not folder.is_dir():
            self.tell(f"sample of {bundle}")
            folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.redirect_stdout(io.StringIO()):
                sample(bundle, str(folder))
        return folder
