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
}
"""For each bundle the names of its classes; the place of a name is its number."""


def remap(labels: np.ndarray, table: Mapping[int, int], ignored: Collection[int] = ()) -> np.ndarray:
    """Give label maps the numbers of a bundle.

    Args:
        labels: integer labels of any shape.
        table: other number → number of the bundle, at most 255; 0 stays 0.
        ignored: other numbers that become background.

    Returns:
        Labels of the same shape as uint8.

    Raises:
        ValueError: if a label is neither in ``table`` nor in ``ignored``, so that none is lost by accident.

    Example:
        >>> remap(np.array([0, 52, 9]), {52: 1}, ignored=[9])
        array([0, 1, 0], dtype=uint8)
    """
    found = {int(value) for value in np.unique(labels)}
    if strange := sorted(found - {0} - set(table) - set(ignored)):
        raise ValueError(f"labels {strange} are not in the table {dict(table)}: is this the right data set?")
    mapped = np.zeros(labels.shape, np.uint8)
    for other in found & set(table):
        mapped[labels == other] = table[other]
    return mapped
