"""Numbers and names of the classes of each bundle, and their way from other numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

CLASSES: dict[str, tuple[str, ...]] = {
    "msvm_synapse": (
        "background",
        "aorta",
        "gallbladder",
        "left kidney",
        "right kidney",
        "liver",
        "pancreas",
        "spleen",
        "stomach",
    ),
    "msvm_acdc": ("background", "right ventricle", "myocardium", "left ventricle"),
    "xlstm_abdomen_mri_3d": (
        "background",
        "liver",
        "right kidney",
        "spleen",
        "pancreas",
        "aorta",
        "inferior vena cava",
        "right adrenal gland",
        "left adrenal gland",
        "gallbladder",
        "oesophagus",
        "stomach",
        "duodenum",
        "left kidney",
    ),
    "xlstm_endoscopy": (
        "background",
        "bipolar forceps",
        "prograsp forceps",
        "large needle driver",
        "vessel sealer",
        "grasping retractor",
        "monopolar curved scissors",
        "ultrasound probe",
    ),
    "xlstm_cells": ("background", "interior", "boundary"),
    "xlstm_hippocampus_mri_3d": ("background", "anterior", "posterior"),
    "xlstm_nuclei": ("background", "interior", "boundary"),
}
"""For each bundle the names of its classes; the place of a name is its number."""

ALIASES = {
    "esophagus": "oesophagus",
    "gall bladder": "gallbladder",
    "arota": "aorta",
    "postcava": "inferior vena cava",
    "ivc": "inferior vena cava",
}
"""Other spellings that data sets use, AMOS22's "arota" included."""


def class_number(bundle: str, name: str) -> int | None:
    """Number of a class by its name in any usual spelling, or None if the bundle has no such class.

    Example:
        >>> class_number("xlstm_abdomen_mri_3d", "Gall_Bladder"), class_number("xlstm_abdomen_mri_3d", "bladder")
        (9, None)
    """
    name = " ".join(name.lower().replace("_", " ").split())
    name = ALIASES.get(name, name)
    return CLASSES[bundle].index(name) if name in CLASSES[bundle] else None


def table_by_name(bundle: str, names: Mapping[int, str]) -> tuple[dict[int, int], dict[int, str]]:
    """Translate other label numbers into those of a bundle, by the names of the classes.

    Args:
        bundle: name of the bundle.
        names: other number → name of its class.

    Returns:
        The table for :func:`remap`, and the numbers and names that the bundle has no class for.

    Example:
        >>> table_by_name("msvm_acdc", {0: "background", 3: "Myocardium", 7: "scar"})
        ({3: 2}, {7: 'scar'})
    """
    numbers = {other: class_number(bundle, name) for other, name in names.items() if other != 0}
    table = {other: number for other, number in numbers.items() if number is not None}
    return table, {other: names[other] for other, number in numbers.items() if number is None}


def remap(labels: np.ndarray, table: Mapping[int, int], ignored: Collection[int] = ()) -> np.ndarray:
    """Give label maps the numbers of a bundle.

    Args:
        labels: labels of any shape, whole numbers in any type.
        table: other number → number of the bundle, at most 255; 0 stays 0.
        ignored: other numbers that become background.

    Returns:
        Labels of the same shape as uint8.

    Raises:
        ValueError: if a label is neither in ``table`` nor in ``ignored``, so that none is lost by accident, or if it
            is not a whole number.

    Example:
        >>> remap(np.array([0, 52, 9]), {52: 1}, ignored=[9])
        array([0, 1, 0], dtype=uint8)
    """
    values = np.unique(labels)
    if not np.array_equal(values, np.rint(values)):
        raise ValueError(f"label {values[values != np.rint(values)][0]} is not a whole number")
    found = {int(value) for value in values}
    if strange := sorted(found - {0} - set(table) - set(ignored)):
        raise ValueError(f"labels {strange} are not in the table {dict(table)}: is this the right data set?")
    mapped = np.zeros(labels.shape, np.uint8)
    for other in found & set(table):
        mapped[labels == other] = table[other]
    return mapped
