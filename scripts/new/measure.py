"""What a data set is made of: sizes, spacings, intensities and classes, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from nibabel.orientations import ornt2axcodes

from components.images.checks import constant, differences, image_faults, label_faults
from components.images.orientation import orientation
from components.images.reading import Content

from ..data.labelling import Labelling
from ..data.reading import read_content
from ..data.work import work
from ..errors import UserError
from .own_data import Source, Sources

SAMPLED = 10_000
"""So many foreground voxels of each case stand for its intensities."""
MOST_CLASSES = 255
"""Label maps are written with 8 bits."""
SHOWN = 20
"""So many faults at most are listed."""
COLOURED = 0.02
"""A picture is in colour if its channels differ by more than this part of the brightest value, on average."""
BRIGHT = 0.5
"""A picture is bright if its median is above this part of the brightest value."""
INTERIOR = {0: "background", 1: "interior", 2: "boundary"}
"""Classes that are made of instances."""


@dataclass(frozen=True)
class CaseFacts:
    """What was measured in a case.

    Args:
        name: its name.
        part: the list that it is in, "train" where that is still to be chosen.
        shape: size in voxels; of a volume along superior, posterior and left, whatever the order in the file.
        cropped: the same without the margins in which every channel is 0.
        spacing: size of a voxel along the same axes in mm; 1 for pictures.
        orientation: where the axes of the file point to, for example "RAS"; empty for pictures.
        channels: number of channels.
        kind: type of the values in the file.
        bounds: smallest and largest value.
        look: kind of a picture, "grey" or "colour" on "dark" or "bright", such as "grey on dark"; empty for volumes.
        voxels: number of voxels of each value of the label map.
        sample: intensities of some foreground voxels, channels × voxels.
        faults: what is wrong, one line each, with the name of the file.
    """

    name: str
    part: str
    shape: tuple[int, ...] = ()
    cropped: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    orientation: str = ""
    channels: int = 0
    kind: str = ""
    bounds: tuple[float, float] = (0.0, 0.0)
    look: str = ""
    voxels: Mapping[int, int] = field(default_factory=dict)
    sample: np.ndarray | None = None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """A data set that is sound.

    Args:
        facts: of each case, by its name.
        table: value in the label maps → number of the class.
        names: names of the labels by their number, background first.
        labelling: regions and ignored voxels, by these numbers.
    """

    facts: Mapping[str, CaseFacts]
    table: Mapping[int, int]
    names: tuple[str, ...]
    labelling: Labelling = field(default_factory=Labelling)

    @property
    def classes(self) -> tuple[str, ...]:
        """What is to be learned, background first: the regions, or the labels that are not ignored."""
        return (
            (self.names[0], *self.labelling.regions) if self.labelling.regions else self.names[: self.labelling.ignore]
        )

    @property
    def values(self) -> dict[str, list[int]]:
        """The values in the label maps of each class but the background; none of instances."""
        sets = self.labelling.regions or {name: (number,) for number, name in enumerate(self.classes) if number}
        back: dict[int, list[int]] = {}
        for value, number in self.table.items():
            back.setdefault(number, []).append(value)
        return {name: [value for label in labels for value in back[label]] for name, labels in sets.items() if back}


@dataclass(frozen=True)
class MeasureJob:
    """A case to measure.

    Args:
        source: its files.
        names: names of the classes by number, None where any number is one.
        instances: whether the label map holds numbers of objects.
        ignore: value of voxels that are not known; None where there is none.
    """

    source: Source
    names: Mapping[int, str] | None
    instances: bool
    ignore: int | None = None


def measure(sources: Sources, processes: int, instances: bool = False) -> Measured:
    """Measure every case.

    Args:
        sources: the cases.
        processes: how many are looked at at once.
        instances: whether the label maps hold numbers of objects, which become the classes interior and boundary.

    Raises:
        UserError: if anything is wrong with the data; every fault is printed before, one line each.
    """
    facts = look(sources, processes, instances)
    _refuse([fault for found in facts.values() for fault in found.faults], len(facts))
    _refuse(list(mixed(sources, facts)), len(facts))
    background = {0, sources.labelling.ignore}
    if all(background.issuperset(found.voxels) for found in facts.values()):
        raise UserError(f"{sources.root}: the label maps hold only background: there is no class to learn")
    if instances and not sources.ready:
        return Measured(facts, {}, tuple(INTERIOR.values()))
    table, classes = _table(sources, facts)
    names = tuple(classes[number] for number in sorted(classes))
    return Measured(facts, table, names, sources.labelling.mapped(table))


def look(sources: Sources, processes: int, instances: bool = False) -> dict[str, CaseFacts]:
    """Look at every case, damaged ones as well; arguments as of :func:`measure`.

    Returns:
        What was found, by the name of the case.
    """
    names = None if instances and not sources.ready else sources.names
    ignore = sources.labelling.ignore
    jobs = [MeasureJob(case, names, instances and not sources.ready, ignore) for case in sources.cases]
    results = {job.source.name: facts for job, facts in work(measure_case, jobs, processes, "measuring", "cases")}
    return {case.name: results[case.name] for case in sources.cases}


def measure_case(job: MeasureJob) -> CaseFacts:
    """Measure a case; what is wrong with it is in ``faults``."""
    case = job.source
    try:
        images = [read_content(path) for path in case.images]
        label = read_content(case.label, numbers=True)
    except UserError as error:
        return CaseFacts(case.name, case.part, faults=(str(error),))
    faults = [f"{p}: {fault}" for p, i in zip(case.images, images, strict=True) for fault in image_faults(i)]
    faults += [f"{case.label}: {fault}" for fault in _label_faults(label, job)]
    for path, other in [*zip(case.images[1:], images[1:], strict=True), (case.label, label)]:
        faults += [f"{path} {fault}" for fault in differences(other, images[0], case.images[0].name)]
    if not faults and (fault := constant(images)):
        faults = [f"{case.images[0]}: {fault}"]
    if faults:
        return CaseFacts(case.name, case.part, faults=tuple(faults))

    values, counts = np.unique(label.array, return_counts=True)
    if job.ignore is not None and (values == job.ignore).all():
        fault = "all voxels are ignored: there is nothing to learn or score, leave the case out"
        return CaseFacts(case.name, case.part, faults=(f"{case.label}: {fault}",))
    channels = _channels(images)
    order, spacing, orientation = _axes(images[0])
    cropped = _cropped(channels)
    if not all(cropped):  # a single slice may be of one value, but there has to be something to measure
        return CaseFacts(case.name, case.part, faults=(f"{case.images[0]}: is 0 in all voxels",))
    return CaseFacts(
        case.name,
        case.part,
        shape=tuple(label.array.shape[axis] for axis in order),
        cropped=tuple(cropped[axis] for axis in order),
        spacing=spacing,
        orientation=orientation,
        channels=len(channels),
        kind=str(images[0].array.dtype),
        bounds=(min(float(c.min()) for c in channels), max(float(c.max()) for c in channels)),
        look="" if images[0].affine is not None else _look(channels),
        voxels={int(value): int(count) for value, count in zip(values, counts, strict=True)},
        sample=_sample(channels, label.array, job.ignore),
    )


def _label_faults(label: Content, job: MeasureJob) -> Iterator[str]:
    yield from image_faults(label)
    known = job.names and ", ".join(f"{number} {name}" for number, name in sorted(job.names.items()))
    faults = list(label_faults(label, job.names, f"dataset.json names {known}"))
    yield from faults
    if not faults and job.names is None and not job.instances:
        values = len(np.unique(label.array))
        if values > MOST_CLASSES + 1:
            yield f"has {values} different values, which cannot be classes: name the classes in dataset.json"


def _channels(images: Sequence[Content]) -> list[np.ndarray]:
    if images[0].affine is None and images[0].array.ndim == 3:
        return list(np.moveaxis(images[0].array, -1, 0))
    return [image.array for image in images]


def _look(channels: Sequence[np.ndarray]) -> str:
    """What a picture is like at a glance: fluorescence is bright on dark, histology colour on bright."""
    stack = np.stack(channels[:3]).astype(np.float32)
    brightest = float(stack.max()) or 1.0
    colour = float((stack.max(axis=0) - stack.min(axis=0)).mean()) > COLOURED * brightest
    bright = float(np.median(stack)) > BRIGHT * brightest
    return f"{'colour' if colour else 'grey'} on {'bright' if bright else 'dark'}"


def _axes(image: Content) -> tuple[list[int], tuple[float, ...], str]:
    """Axes of the file in the order superior, posterior, left; their spacing; and where they point to."""
    if image.affine is None:
        return [0, 1], (1.0, 1.0), ""
    directions = orientation(image.affine)
    world = directions[:, 0].astype(int).tolist()
    order = [world.index(axis) for axis in (2, 1, 0)]
    sizes = np.linalg.norm(image.affine[:3, :3], axis=0)
    return order, tuple(float(sizes[axis]) for axis in order), "".join(ornt2axcodes(directions))


def _cropped(channels: Sequence[np.ndarray]) -> list[int]:
    filled = np.zeros(channels[0].shape, bool)
    for channel in channels:
        filled |= channel != 0
    found = []
    for axis in range(filled.ndim):
        places = np.flatnonzero(filled.any(axis=tuple(a for a in range(filled.ndim) if a != axis)))
        found.append(int(places[-1] - places[0] + 1) if len(places) else 0)
    return found


def _sample(channels: Sequence[np.ndarray], label: np.ndarray, ignore: int | None) -> np.ndarray:
    places = np.flatnonzero(label if ignore is None else (label != 0) & (label != ignore))
    if len(places) > SAMPLED:
        places = np.random.default_rng(0).choice(places, SAMPLED, replace=False)
    return np.stack([channel.ravel()[places].astype(np.float32) for channel in channels])


def mixed(sources: Sources, facts: Mapping[str, CaseFacts]) -> Iterator[str]:
    """Cases with another number of channels than the first; all of them have to be sound."""
    first = facts[sources.cases[0].name]
    for case in sources.cases:
        if (count := facts[case.name].channels) != first.channels:
            yield (
                f"{case.images[0]}: has {count} channels, but {sources.cases[0].images[0]} has {first.channels}: "
                f"all cases need the same"
            )


def _table(sources: Sources, facts: Mapping[str, CaseFacts]) -> tuple[dict[int, int], dict[int, str]]:
    values = sorted({value for found in facts.values() for value in found.voxels} | {0})
    numbered = {value: f"class {number}" for number, value in enumerate(values) if number}
    names = dict(sources.names or {0: "background", **numbered})
    names.setdefault(0, "background")
    if len(names) > MOST_CLASSES + 1:
        raise UserError(
            f"the label maps have {len(names) - 1} different values, at most {MOST_CLASSES} classes are possible: name "
            f"the classes in dataset.json, or, if the values number objects, start from --from xlstm_cells"
        )
    if len(names) < 2:
        raise UserError(f"{sources.root / 'dataset.json'}: it names no class beside the background")
    table = {value: number for number, value in enumerate(sorted(names))}
    if len(set(names.values())) != len(names):
        raise UserError(f"{sources.root / 'dataset.json'}: two classes have the same name: {', '.join(names.values())}")
    return table, {table[value]: name for value, name in names.items()}


def _refuse(faults: Sequence[str], cases: int) -> None:
    """Raise UserError if there are faults."""
    if not faults:
        return
    if len(faults) > 1:
        print("\n".join(faults[:SHOWN]) + (f"\n… and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""))
    more = f"; {len(faults) - 1} more faults in the {cases} cases are listed above" if len(faults) > 1 else ""
    raise UserError(f"{faults[0]}{more}")
