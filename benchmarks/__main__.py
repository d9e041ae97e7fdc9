"""Entry of ``python -m benchmarks``."""

from __future__ import annotations

import sys

import fire

from components.errors import one_line
from scripts.errors import UserError

from .command import run


def main(words: list[str] | None = None) -> None:
    """Run the command line.

    Args:
        words: of the command line; ``sys.argv`` by default.
    """
    try:
        fire.Fire(run, words, name="python -m benchmarks")
    except (UserError, ValueError, OSError) as error:
        sys.exit(f"benchmarks: {one_line(error)}")


if __name__ == "__main__":
    main()
