"""The command line of ``monai.bundle run`` for a bundle, and how it is typed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

CONFIGS = {"training": "train.json", "evaluating": "evaluate.json", "inferring": "inference.json"}
"""The config of each id that is run."""


def monai_command(
    run_id: str, root: Path, more: Iterable[str | Path] = (), settings: Mapping[str, object] | None = None
) -> list[str]:
    """Words after ``python`` that run a bundle.

    Args:
        run_id: "training", "evaluating" or "inferring".
        root: folder of the bundle.
        more: config files that change the first one, by name in the bundle or by path.
        settings: overrides by id; None is a flag without a value.
    """
    root = from_here(root)
    files = [str(root / "configs" / file) for file in (CONFIGS[run_id], *more)]
    words = ["-m", "monai.bundle", "run", run_id, "--bundle_root", str(root), "--config_file"]
    words.append(files[0] if len(files) == 1 else str(files))
    for name, value in (settings or {}).items():
        words += [f"--{name}"] if value is None else [f"--{name}", str(value)]
    return words


def from_here(path: Path) -> Path:
    """A path relative to the current folder where it lies below that, else absolute."""
    path, here = path.resolve(), Path.cwd().resolve()
    return path.relative_to(here) if path.is_relative_to(here) else path


def typed(words: Iterable[str]) -> str:
    """A command as it is typed in a shell; lists of config files are in double quotes, which are easier to read."""
    return " ".join(
        f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word) for word in words
    )
