"""Whether the images of a data set have one scale of intensities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

FACTOR = 100.0
"""Ranges of intensities that differ by more than this factor are reported."""


@dataclass(frozen=True)
class Scale:
    """Intensities of an image.

    Args:
        kind: type of the values in the file, such as "uint8".
        low: smallest value.
        high: largest value.
    """

    kind: str
    low: float
    high: float


def mixed_scales(scales: Mapping[str, Scale], absolute: bool) -> str:
    """Say what is not alike, and whether it matters.

    Images of several types, or with ranges that differ by more than :data:`FACTOR` (percentiles 5 and 95), often come
    from several sources.

    Args:
        scales: of each image, by its name.
        absolute: whether the intensities keep their scale on the way to the network, as those of CT do; otherwise each
            image is normalised separately.

    Returns:
        One line; empty if all images are alike.

    Example:
        >>> mixed_scales({"a": Scale("uint8", 0, 255), "b": Scale("uint8", 3, 250)}, absolute=True)
        ''
    """
    groups: dict[str, list[str]] = {}
    for name, scale in scales.items():
        groups.setdefault(scale.kind, []).append(name)
    ranges = [scale.high - scale.low for scale in scales.values()]
    small, large = np.percentile(ranges, [5, 95]) if ranges else (0.0, 0.0)
    if len(groups) < 2 and not (small > 0 and large > FACTOR * small):
        return ""
    parts = [_group(kind, names, scales) for kind, names in sorted(groups.items(), key=lambda g: -len(g[1]))]
    told = (
        "this matters, as intensities keep their scale here: bring all images to one scale (CT: Hounsfield units)"
        if absolute
        else "this does not matter here, as each image is normalised separately"
    )
    return f"the images differ in their type or scale: {'; '.join(parts)}. If this is unexpected, look at them; {told}"


def _group(kind: str, names: list[str], scales: Mapping[str, Scale]) -> str:
    low, high = min(scales[name].low for name in names), max(scales[name].high for name in names)
    count = f"{len(names)} {'is' if len(names) == 1 else 'are'} {kind}"
    return f"{count} (intensities {low:g} to {high:g}, for example {names[0]})"
