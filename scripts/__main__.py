"""Entry of ``scanseg`` and ``python -m scripts``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .installed import claim

claim()  # before anything imports components, and in processes that multiprocessing starts


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, see :func:`scripts.cli.main`."""
    from .cli import main

    return main(argv)


if __name__ == "__main__":
    sys.exit(main())
