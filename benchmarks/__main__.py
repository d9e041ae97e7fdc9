"""Entry of ``python -m benchmarks``."""

from __future__ import annotations

import sys

import fire

from components.errors import one_line
from scripts.errors import UserError

from .command import run
from .ignored import ignored
from .rivals.command import rivals


def main(words: list[str] | None = None) -> None:
    """Run the command line: ``rivals`` and ``ignored`` train and compare networks, all else measures time and memory.

    Args:
        words: of the command line; ``sys.argv`` by default.
    """
    words = sys.argv[1:] if words is None else words
    try:
        trainings = {"rivals": rivals, "ignored": ignored}
        if words and words[0] in trainings:
            fire.Fire(trainings[words[0]], words[1:], name=f"python -m benchmarks {words[0]}")
        else:
            fire.Fire(run, words, name="python -m benchmarks")
    except (UserError, ValueError, OSError) as error:
        sys.exit(f"benchmarks: {one_line(error)}")


if __name__ == "__main__":
    main()
