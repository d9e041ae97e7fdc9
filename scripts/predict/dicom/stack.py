"""Planes as volumes: which ones stand above each other, evenly, each place once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .planes import Plane

UNEVEN = 0.01
"""Part of the spacing, and mm, by which the distances of slices may differ: positions are rounded in the files."""
SIDEWAYS = 0.5
"""Part of a pixel by which the last slice may be beside the first one: less is no tilt, but rounding."""


def one_volume(planes: Sequence[Plane], number: int | None = None) -> list[Plane]:
    """The planes of one volume, in the order of their places along the normal.

    Copies of a slice count once.

    Args:
        planes: of a series, in any order.
        number: which volume is taken, from 1 on, where the series holds several (echoes, time points, …).

    Raises:
        ValueError: if they are not parallel or not of one size, if there are several volumes and no ``number``, or no
            volume of this number.
    """
    _check_alike(planes)
    places = _places(planes)
    volumes = _volumes(places, len(planes))
    if number is None and len(volumes) > 1:
        raise ValueError(
            f"it holds several volumes (echoes or time points) in one {_container(planes)}, {len(volumes)}"
            f"{_difference(volumes)}: take one of them with --volume 1 … {len(volumes)}"
        )
    if number is not None and number > len(volumes):
        raise ValueError(f"--volume {number} was asked for, but there {_times(len(volumes), 'volume')}")
    return check_spacing(volumes[(number or 1) - 1])


def check_spacing(planes: list[Plane]) -> list[Plane]:
    """Check that sorted planes are evenly spaced above each other.

    Returns:
        The planes.

    Raises:
        ValueError: if they are not; the message says why.
    """
    if len(planes) == 1:
        return planes
    normal = planes[0].normal
    positions = np.array([plane.position for plane in planes])
    places, steps = positions @ normal, np.diff(positions, axis=0)
    gaps = np.diff(places)
    spacing = float(np.median(gaps))
    tolerance = UNEVEN + UNEVEN * spacing
    sideways = steps - gaps[:, None] * normal
    drift = np.linalg.norm(positions[-1] - positions[0] - (places[-1] - places[0]) * normal)
    if np.abs(sideways).max() > tolerance or drift > SIDEWAYS * planes[0].spacing.min():
        tilt = np.degrees(np.arctan2(np.linalg.norm(sideways, axis=1), gaps)).max()
        raise ValueError(f"the slices are stacked at an angle of {tilt:.1f}° (gantry tilt): resample the series first")
    if (np.abs(gaps - spacing) <= tolerance).all():
        return planes
    times = np.rint(gaps / gaps.min())
    if (np.abs(gaps - times * gaps.min()) <= times * tolerance).all():
        missing, where = int(times.sum()) - len(gaps), int(np.argmax(times > 1))
        raise ValueError(
            f"{missing} slices are missing, the first after the one at {places[where]:g} mm: copy the whole series"
        )
    raise ValueError(
        f"the slices are unevenly spaced, from {gaps.min():g} to {gaps.max():g} mm: resample the series first"
    )


def _check_alike(planes: Sequence[Plane]) -> None:
    shapes = {plane.pixels.shape for plane in planes}
    spacings = {tuple(plane.spacing.round(4)) for plane in planes}
    for values, what in ((shapes, "sizes"), (spacings, "pixel spacings")):
        if len(values) > 1:
            shown = ", ".join(" × ".join(f"{v:g}" for v in value) for value in sorted(values)[:3])
            raise ValueError(f"the slices have different {what} ({shown}): the series holds several images")
    orientations = np.array([plane.orientation for plane in planes])
    if np.abs(orientations - orientations[0]).max() > 1e-3:
        raise ValueError("the slices are not parallel: the series holds several stacks")


def _places(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Planes by their place along the normal, each of which is there once or more; copies are left out."""
    normal = planes[0].normal
    along = np.array([plane.position @ normal for plane in planes])
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    apart = gaps[gaps > UNEVEN]
    tolerance = UNEVEN + UNEVEN * float(np.median(apart)) if len(apart) else UNEVEN
    found = [[planes[order[0]]]]
    for index, gap in zip(order[1:], gaps, strict=True):
        if gap > tolerance:
            found.append([])
        if not any(np.array_equal(planes[index].pixels, other.pixels) for other in found[-1]):
            found[-1].append(planes[index])
    return found


def _volumes(places: list[list[Plane]], count: int) -> list[list[Plane]]:
    sizes = Counter(map(len, places))
    if len(sizes) > 1:
        usual = min(sizes)
        doubled = sum(size - usual for size in map(len, places))
        raise ValueError(
            f"{doubled} of {count} slices are at the position of another one: "
            "the series holds several time points, echoes or reconstructions, and not all are complete"
        )
    keys = _keys(places)
    ordered = [sorted(place, key=lambda plane: _rank(plane, keys)) for place in places]
    return [list(volume) for volume in zip(*ordered, strict=True)]


def _keys(places: list[list[Plane]]) -> list[str]:
    """Attributes whose values are the same at every place, but not within one."""

    def values(place: list[Plane], name: str) -> Counter[Any]:
        return Counter(plane.keys.get(name) for plane in place)

    names = dict.fromkeys(name for plane in places[0] for name in plane.keys)
    told = {name: values(places[0], name) for name in names}
    return [
        name
        for name, there in told.items()
        if len(there) > 1 and all(values(place, name) == there for place in places[1:])
    ]


def _rank(plane: Plane, keys: list[str]) -> tuple:
    """Place of a plane among those at the same place: by what distinguishes the volumes, then as they were acquired."""
    known = [(isinstance(value := plane.keys.get(key), str), value is None, value or 0) for key in keys]
    try:
        taken = int(plane.dataset.get("InstanceNumber") or 0)
    except (TypeError, ValueError):
        taken = 0
    return (*known, taken, plane.frame)


def _difference(volumes: list[list[Plane]]) -> str:
    """In what the volumes differ, as text."""
    names = _keys([list(place) for place in zip(*volumes, strict=True)])[:2]
    shown = []
    for name in names:
        values = [volume[0].keys.get(name) for volume in volumes]
        text = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values[:4])
        shown.append(f"{name} {text}{', …' if len(values) > 4 else ''}")
    return f" by {' and '.join(shown)}" if shown else ""


def _container(planes: Sequence[Plane]) -> str:
    return "series" if any(plane.dataset is not planes[0].dataset for plane in planes) else "file"


def _times(count: int, what: str) -> str:
    return f"is {count} {what}" if count == 1 else f"are {count} {what}s"
