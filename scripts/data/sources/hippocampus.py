"""The Medical Segmentation Decathlon's Task04_Hippocampus, for xlstm_hippocampus_mri_3d.

Source: Antonelli et al., "The Medical Segmentation Decathlon", Nature Communications 13 (2022).
"""

from __future__ import annotations

from ..labels import CLASSES
from ..layouts import ConversionPlan, Files, Layout, RawCase
from .decathlon import WANTED, Convert, describe, find_training
from .nnunet import label_table
from .splits import parts_of

BUNDLE = "xlstm_hippocampus_mri_3d"


def find(files: Files) -> ConversionPlan | None:
    """Plan for the task, divided as the weights of the bundle were trained."""
    training, record, json_file, notes = find_training(files)
    if not training:
        return None
    table, _, more = label_table(BUNDLE, json_file)
    parts = parts_of(BUNDLE, training)
    cases = [RawCase(name, part, training[name]) for part, names in parts.items() for name in names]
    words = "that of the bundle's weights: cases that these have not seen are the test."
    return ConversionPlan(cases, Convert(table), describe(BUNDLE, record, CLASSES[BUNDLE], words), notes + more)


LAYOUTS = (Layout("the Decathlon's Task04_Hippocampus", WANTED, find),)
