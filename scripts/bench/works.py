"""Works: what can be measured, in groups; and measuring them one after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from components.kernels import operators
from components.machine import accelerator
from components.validation import check_choice

from ..errors import reason
from ..hints import separated
from ..predict.predictor import checked_device
from ..tables import aligned
from . import bundle as training
from . import image, kernels, memory, networks
from .bundles import config
from .guard import within_memory
from .session import Row, Session, Settings

BAR = "{desc} [{n_fmt}/{total_fmt}] {elapsed}{postfix}"
"""Progress: the work, how many are done, the time so far and what runs; works differ too much for an estimate."""


@dataclass(frozen=True)
class Work:
    """One thing to measure.

    Args:
        about: what it is, in a few words.
        measure: yields its rows.
    """

    about: str
    measure: Callable[[Session], Iterator[Row]]


GROUPS = {
    "kernels": "every back end of the operators",
    "networks": "forward pass, training step and peak memory of our networks",
    "memory": "peak memory by patch, batch and mode, each in a fresh process",
}
KERNELS = {f"kernels/{op}": Work(f"back ends of {op}", partial(kernels.measure, op)) for op in operators()}
MEMORY = {f"memory/{n}": Work(f"memory of {g.name}", partial(memory.measure, g)) for n, g in memory.GRIDS.items()}
WORKS: dict[str, Work] = {
    **KERNELS,
    **{f"networks/{n}": Work(about, partial(networks.measure, n)) for n, (*_, about) in networks.CASES.items()},
    **MEMORY,
}
"""By ``group/name``, in the order in which they are measured and shown."""
OF_BUNDLE = {
    "data": "samples a second, and the share of a training's loop that waits for data",
    "epoch": "an epoch of monai.bundle run training",
    "image": "the first test image through the bundle's inferer",
}
REPEATS, QUICK_REPEATS = 7, 2


def of_bundle(bundle: str, dataset_dir: str | None) -> dict[str, Work]:
    """The works of a bundle, in the groups of :data:`OF_BUNDLE`.

    Args:
        bundle: its name or folder.
        dataset_dir: its data set; None for the sample.
    """
    root, content = config(bundle)
    name = str(root)

    def folder(session: Session) -> Callable[[], Path]:
        return lambda: Path(dataset_dir) if dataset_dir is not None else session.sample(root.name)

    def values(session: Session) -> dict[str, Any]:
        return training.short_training(content, session.settings)

    return {
        f"data/{root.name}": Work("its data", lambda s: training.measure_data(s, name, folder(s), values(s))),
        f"epoch/{root.name}": Work("an epoch", lambda s: training.measure_epoch(s, name, folder(s), values(s))),
        f"image/{root.name}": Work("an image", lambda s: image.measure(s, name, folder(s))),
    }


def checked_settings(
    repeats: int | None, threads: int | None, quick: bool, device: str, seed: int, weights: str | None = None
) -> Settings:
    """Settings from the arguments of a command.

    Raises:
        UserError: if the device is not known or is not there.
    """
    repeats = repeats if repeats is not None else QUICK_REPEATS if quick else REPEATS
    threads = threads if threads is not None else torch.get_num_threads()
    device = device if device == accelerator() else checked_device(device).type  # such as mps
    return Settings(seed, bool(quick), device, repeats, threads, weights)


def choose(
    asked: str | Sequence[str], works: Mapping[str, Work] = WORKS, groups: Mapping[str, str] = GROUPS
) -> list[str]:
    """Names of the works that were asked for, in the order of the table, each once.

    Args:
        asked: "all", groups and works, with commas between or as a list.
        works: the table.
        groups: what each group is.

    Raises:
        ValueError: if there is no such group or work; it names the closest.
    """
    words = separated(asked)
    for word in words:
        group, slash, _ = word.partition("/")
        if slash and group in groups:
            check_choice("work", word, [name for name in works if name.startswith(f"{group}/")])
        elif meant := [name for name in works if name.endswith(f"/{word}")]:
            raise ValueError(f"unknown work '{word}', did you mean {' or '.join(meant)}?")
        else:
            check_choice("work", word, ["all", *groups])
    return [name for name in works if "all" in words or name in words or name.partition("/")[0] in words]


def listing(works: Mapping[str, Work] = WORKS, groups: Mapping[str, str] = GROUPS) -> str:
    """All groups and works with what they are, as text."""
    lines = []
    for group, about in groups.items():
        lines.append(f"{group}: {about}")
        mine = [(name, work.about) for name, work in works.items() if name.startswith(f"{group}/")]
        lines.append(aligned(mine, indent="  "))
    return "\n".join([*lines, "all: all of them"])


def measure(
    works: Mapping[str, Work],
    settings: Settings,
    keep: Callable[[list[Row]], None] = lambda rows: None,
    prepare: Callable[[Session], None] = lambda session: None,
) -> list[Row]:
    """Measure works one after the other; one that fails is a row as well, and the others continue.

    Args:
        works: by name.
        settings: how to measure.
        keep: is given all rows after each work, so that an interrupted measurement is kept.
        prepare: is called before the first work.
    """
    rows: list[Row] = []
    with (
        _threads(settings.threads),
        tempfile.TemporaryDirectory(prefix="scanseg-bench-") as folder,
        tqdm(total=len(works), disable=None, bar_format=BAR) as bar,
        within_memory(),
    ):
        session = Session(settings, Path(folder), bar=bar)
        prepare(session)
        for name, work in works.items():
            bar.set_description(name)
            rows += [{"work": name, **row} for row in _rows(name, work, session)]
            keep(rows)
            bar.update()
    return rows


def _rows(name: str, work: Work, session: Session) -> Iterator[Row]:
    """Rows of a work; what goes wrong beside its alternatives, such as its data, is a row as well."""
    try:
        yield from work.measure(session)
    except Exception as error:  # the other works go on
        yield {"case": name.partition("/")[2], "name": "the whole work", "ours": False, "failed": reason(error)}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
