"""What the planner needs to know of a data set: the facts of its cases put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..data.labelling import Labelling
from .measure import CaseFacts, Measured
from .own_data import Sources

COLOURS = ("red", "green", "blue")
"""Channels of every picture as the bundles load it: grey becomes three equal ones."""
SCHEMES = {
    "ct": "ct",
    "zscore": "z-score",
    "nonorm": "none",
    "rescale_to_0_1": "minimum-maximum",
    "rgb_to_0_1": "8 bit",
}
"""Kinds of normalisation by the names of channels that ask for them in nnU-Net; all other channels get a z-score."""


@dataclass(frozen=True)
class Intensities:
    """Intensities of the foreground, over all training cases and channels.

    Args:
        low: percentile 0.5.
        high: percentile 99.5.
        mean: arithmetic mean.
        sd: standard deviation.
    """

    low: float
    high: float
    mean: float
    sd: float


@dataclass(frozen=True)
class Measurement:
    """What the planner needs to know of a data set.

    Args:
        spatial_dims: 2 for pictures, 3 for volumes.
        channels: names of the channels.
        modality: for example "CT"; empty where it is not known.
        classes: names of the classes, background first; regions where the data set has them.
        cases: number of cases, all of them.
        shapes: size of each case that is not for test, without empty margins, axes as in :class:`CaseFacts`.
        spacings: spacing of the same cases along the same axes in mm.
        kept: median part of an image that is left without its empty margins, 0 to 1.
        intensities: of the foreground of the same cases; None where there is none.
        counts: for each class but the background the number of cases that have it and of its voxels.
        orientations: how many cases have which orientation.
        empty: names of the cases without any foreground.
        by_channel: the same as ``intensities`` for each channel; empty where there is none.
        schemes: how each channel is to be normalised, a value of :data:`SCHEMES`; empty where the modality tells it.
        labels: names of the labels in the dataset_dir by their numbers; these are the classes where they exclude each
            other and none is ignored.
        labelling: regions and ignored voxels, by these numbers.
    """

    spatial_dims: int
    channels: tuple[str, ...]
    modality: str
    classes: tuple[str, ...]
    cases: int
    shapes: tuple[tuple[int, ...], ...]
    spacings: tuple[tuple[float, ...], ...]
    kept: float
    intensities: Intensities | None
    counts: Mapping[str, tuple[int, int]]
    orientations: Mapping[str, int]
    empty: tuple[str, ...] = ()
    by_channel: tuple[Intensities, ...] = ()
    schemes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    labelling: Labelling = field(default_factory=Labelling)

    @property
    def foreground(self) -> list[int]:
        """Numbers of the labels, without the background and what is ignored."""
        count = len(self.labels) or len(self.classes)
        return [number for number in range(1, count) if number != self.labelling.ignore]

    @property
    def numbers(self) -> dict[str, str]:
        """The labels of each class but the background, in words."""
        regions = self.labelling.regions
        named = enumerate(self.classes[1:], start=1)
        return {name: ", ".join(map(str, regions[name])) if regions else str(number) for number, name in named}


def summarise(sources: Sources, measured: Measured, test: Sequence[str], modality: str) -> Measurement:
    """Put the facts of the cases together, those for test aside.

    Args:
        sources: the cases.
        measured: their facts.
        test: names of the test cases, whose sizes and intensities must not decide anything.
        modality: what the user says it is; empty where the names of the channels are to tell.
    """
    facts, aside = measured.facts, set(test)
    used = [found for name, found in facts.items() if name not in aside]
    channels = sources.channels or tuple(f"channel {number}" for number in range(used[0].channels))
    if len(used[0].shape) == 2:
        channels = COLOURS
    schemes = (modality,) * len(channels) if modality else sources.channels
    by_channel = [_intensities([row]) for row in _foreground(used)]
    counts = {}
    for name, values in measured.values.items():
        per_case = [sum(found.voxels.get(value, 0) for value in values) for found in facts.values()]
        counts[name] = (sum(n > 0 for n in per_case), sum(per_case))
    background = {0, sources.labelling.ignore}
    return Measurement(
        spatial_dims=len(used[0].shape),
        channels=tuple(channels),
        modality=modality or _modality(sources),
        classes=measured.classes,
        cases=len(facts),
        shapes=tuple(found.cropped for found in used),
        spacings=tuple(found.spacing for found in used),
        kept=float(np.median([np.prod(found.cropped) / np.prod(found.shape) for found in used])),
        intensities=_intensities(_foreground(used)),
        counts=counts,
        orientations=Counter(found.orientation for found in facts.values() if found.orientation),
        empty=tuple(name for name, found in facts.items() if background.issuperset(found.voxels)),
        by_channel=tuple(found for found in by_channel if found is not None),
        schemes=channel_schemes(schemes, len(channels)),
        labels=measured.names,
        labelling=measured.labelling,
    )


def channel_schemes(names: Sequence[str], channels: int) -> tuple[str, ...]:
    """How channels of these names are normalised by nnU-Net's rule; empty where the names do not tell.

    Args:
        names: of the channels, or one for all.
        channels: their number.

    Example:
        >>> channel_schemes(["CT", "PET"], 2)
        ('ct', 'z-score')
    """
    names = list(names) * channels if len(names) == 1 else list(names)
    return tuple(SCHEMES.get(n.strip().casefold(), "z-score") for n in names) if len(names) == channels else ()


def _foreground(used: Sequence[CaseFacts]) -> np.ndarray:
    """Intensities of the foreground, channels × voxels."""
    return np.concatenate([found.sample for found in used if found.sample is not None], axis=1).astype(np.float64)


def _intensities(values: Sequence[np.ndarray] | np.ndarray) -> Intensities | None:
    values = np.ravel(values)
    if not values.size:
        return None
    low, high = np.percentile(values, [0.5, 99.5])
    return Intensities(float(low), float(high), float(values.mean()), float(values.std()))


def _modality(sources: Sources) -> str:
    named = {name.strip().upper() for name in sources.channels}
    if len(named) == 1:
        return named.pop()
    return str(sources.record.get("modality", ""))
