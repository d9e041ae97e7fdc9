"""``data sample``: a small data set to try the commands."""

from __future__ import annotations

import importlib
from pathlib import Path

from components.validation import check_choice

from ..files import new_folder
from .dataset import is_complete

SAMPLES: dict[str, str] = {
    "msvm_synapse": ".samples.ct",
    "msvm_acdc": ".samples.cardiac",
    "xlstm_abdomen_mri_3d": ".samples.mr",
    "xlstm_endoscopy": ".samples.endoscopy",
    "xlstm_cells": ".samples.nuclei",
    "xlstm_hippocampus_mri_3d": ".samples.hippocampus",
    "xlstm_nuclei": ".samples.bowl",
}
"""For each bundle the module whose NAME names its sample and whose ``build(folder)`` makes it, returning a Dataset."""


def sample(bundle: str, out: str) -> None:
    """Make a small data set for a bundle from images that come with scanseg.

    Use it to try the workflow. It is a folder with images, labels, datalist.json (the lists of training, validation and
    test) and dataset.json (what the data are). Images are real for CT, abdominal MR, cells and nuclei, synthetic for
    cardiac MR, endoscopy and the hippocampus. A folder that already holds the sample is left unchanged.

    Args:
        bundle: name of the bundle, for example msvm_synapse.
        out: folder to make.

    Example:
        scanseg data sample --bundle msvm_synapse --out data/msvm_synapse
    """
    check_choice("bundle", bundle, SAMPLES)
    maker = importlib.import_module(SAMPLES[bundle], __package__)
    folder = Path(out)
    if is_complete(folder, maker.NAME, bundle):
        print(f"{folder} already holds this sample; nothing to do")
        return
    with new_folder(folder) as partial:
        dataset = maker.build(partial)
        dataset.write(partial)
    counts = ", ".join(f"{len(items)} {part}" for part, items in dataset.lists.items())
    print(f"{folder} is ready: {dataset.name} ({counts})")
    if dataset.caution:
        print(dataset.caution)
