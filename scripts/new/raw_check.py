"""``data check`` of a folder in nnU-Net's raw layout: what ``new`` would refuse, all of it, and what it would note."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ..data.scales import Scale, mixed_scales
from .measure import look, mixed
from .own_data import find_sources


def check_raw(folder: Path, processes: int) -> int:
    """Print the faults and notes of a data set.

    Args:
        folder: in nnU-Net's raw layout, version 1 or 2.
        processes: how many cases are looked at at once.

    Returns:
        1 if there are faults, 0 if not.

    Raises:
        UserError: if dataset.json or the names of the files are wrong, so that there are no cases to look at.
    """
    sources = find_sources(folder)
    facts = look(sources, processes)
    faults = [fault for found in facts.values() for fault in found.faults]
    if not faults:
        faults = list(mixed(sources, facts))
    for fault in faults:
        print(fault)
    notes = list(sources.notes)
    sound = {name: found for name, found in facts.items() if not found.faults}
    seen = Counter(value for found in sound.values() for value in found.voxels)
    names = sources.names or {}
    notes += [f"no case has {name}" for number, name in sorted(names.items()) if number and sound and not seen[number]]
    if sources.spatial_dims == 3:
        scales = {name: Scale(found.kind, *found.bounds) for name, found in sound.items()}
        absolute = any(channel.upper() == "CT" for channel in sources.channels)
        if scales and (note := mixed_scales(scales, absolute=absolute)):
            notes.append(note)
    for note in notes:
        print(f"note: {note}")
    parts = Counter(case.part for case in sources.cases)
    counts = f"{parts['train']} for training, {parts['test']} for the test"
    channels = f", {len(sources.channels)} channels" if len(sources.channels) > 1 else ""
    print(
        f"{folder}: {len(faults) or 'no'} fault{'s' * (len(faults) != 1)} in {len(sources.cases)} cases "
        f"({counts}{channels})"
    )
    return 1 if faults else 0
