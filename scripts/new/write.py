"""The folder of a new bundle, whole or not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.files import read_json, write_text

from ..bundle.config import dumps
from ..bundle.find import ROOT
from ..files import new_folder, old_name
from .base import Base
from .cascade import add_previous, add_previous_channels
from .configurations import previous_stage
from .derive import derive, metadata, sliced
from .plan import Plan
from .relabel import relabel, relabel_metadata
from .summary import Measurement

SLICES = "xlstm_abdomen_mri_3d/configs/2d.json"
"""What makes a bundle for volumes one for their slices, below the folder of the bundles."""
DATA_LICENSE = """\
The terms of the data are not known to the program that made this bundle. Before you pass on the bundle, or weights
that were trained with it, state here what the data are, who owns them, under which terms they may be used, and whether
what is made from them may be passed on. Until then assume that neither the data nor such weights may be passed on.
"""


@contextmanager
def new_bundle(target: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes the bundle when all went well and leaves nothing where not.

    A folder that is in its place is renamed, never changed.

    Args:
        target: the folder to be.
    """
    free = not (target.exists() or target.is_symlink())
    finished = target if free else target.with_name(f".{target.name}.new")
    if not free:
        shutil.rmtree(finished, ignore_errors=True)
    with new_folder(finished) as partial:
        yield partial
    if not free:
        kept = old_name(target)
        target.rename(kept)
        finished.rename(target)
        print(f"the old {target} was renamed to {kept}")


def write_configs(
    folder: Path, base: Base, pictures: Base | None, name: str, found: Measurement, plan: Plan
) -> list[str]:
    """Write the configs and the licence of a bundle.

    Args:
        folder: the bundle.
        base: the bundle that it is derived from.
        pictures: another one whose way of loading pictures is taken, or None.
        name: of the new bundle.
        found: the data set.
        plan: the settings.

    Returns:
        Names of the configs.
    """
    classes = found.classes[1:]
    stage = previous_stage(name, plan.configuration)
    slices = read_json(ROOT / "bundles" / SLICES) if plan.configuration == "2d" else {}
    for file, config in base.configs.items():
        config = sliced(config, slices)
        loading = None if pictures is None else pictures.configs.get(file, {})
        derived = derive(config, plan, classes, len(found.channels), loading)
        relabel(derived, found.labelling, len(found.labels))
        if stage:
            add_previous(derived, stage, found.foreground)
        write_text(folder / "configs" / file, dumps(derived) + "\n")
    described = metadata(
        read_json(base.folder / "configs" / "metadata.json"), plan, name, classes, found.channels, found.modality
    )
    relabel_metadata(described, found.labelling, classes)
    if stage:
        add_previous_channels(described, stage, [found.labels[number] for number in found.foreground])
    write_text(folder / "configs" / "metadata.json", dumps(described) + "\n")
    shutil.copyfile(base.folder / "configs" / "logging.conf", folder / "configs" / "logging.conf")
    shutil.copyfile(base.folder / "LICENSE", folder / "LICENSE")
    write_text(folder / "docs" / "data_license.txt", DATA_LICENSE)
    return list(base.configs)
