"""Whether the data of a user fit the bundle to start from, and can be used as they are."""

from __future__ import annotations

from components.images.endings import NIFTI, ending_of

from ..data.dataset import PARTS
from ..data.scales import Scale, mixed_scales
from ..errors import UserError
from .base import Base
from .datafolder import Form
from .measure import Measured
from .own_data import Source, Sources
from .plan import Plan


def check_instances(base: Base, sources: Sources) -> None:
    """Raise UserError if a base that learns objects has no numbers of objects to learn from."""
    if not base.instances:
        return
    if sources.ready and any(case.instances is None for case in sources.cases):
        raise UserError(
            f"{base.folder.name} learns the interior and boundary of objects, but {sources.root} has no instances: "
            f"start from xlstm_endoscopy for classes"
        )
    if not sources.ready and sources.names is not None:
        raise UserError(
            f"{base.folder.name} learns the interior and boundary of objects, but {sources.root / 'dataset.json'} "
            f"names classes: start from xlstm_endoscopy for classes; if the labels number objects, remove the file"
        )


def check_folds(folds: int | None, splits: str | None, base: Base, sources: Sources) -> None:
    """Raise UserError if data cannot be divided into folds as it is asked for."""
    if folds is not None and splits is not None:
        raise UserError("give --folds or --splits, not both: the file says how many folds there are")
    if sources.ready and splits is not None:
        raise UserError(
            f"--splits names the cases of a raw data set, but {sources.root} is a dataset_dir: give --folds"
        )
    if sources.ready and base.instances:
        raise UserError(
            f"folds of instances can only be made from raw data, but {sources.root} is a dataset_dir: give its source"
        )


def form_of(base: Base, settings: Plan, measured: Measured) -> Form:
    """The form in which the data of a new bundle are stored."""
    sliced = settings.network == "msvm" and bool(settings.axes)
    return Form(
        measured.table,
        instances=base.instances,
        slice_axes=settings.axes if sliced else "",
        unit=settings.normalisation.kind == "minimum-maximum",
        ignore=measured.labelling.ignore,
    )


def is_usable(sources: Sources, measured: Measured, form: Form) -> bool:
    """Whether a dataset_dir can stay as it is."""
    if any(value != number for value, number in measured.table.items()):
        return False
    training = [case for case in sources.cases if case.part == "training"]
    if sources.spatial_dims == 2:
        return all(measured.facts[case.name].kind == "uint8" for case in sources.cases)
    if form.slice_axes and any(1 not in measured.facts[case.name].shape for case in training):
        return False
    return all(ending_of(path) in NIFTI for case in sources.cases for path in (*case.images, case.label))


def check_scaled(sources: Sources, measured: Measured) -> None:
    """Slices that are stored one by one must be scaled already: the range of their volume is not known any more."""
    for case in sources.cases:
        low, high = measured.facts[case.name].bounds
        if case.part == "training" and not 0 <= low <= high <= 1:
            raise UserError(
                f"{case.images[0]} has intensities from {low:g} to {high:g}, but slices for MSVM-UNet have to be "
                f"scaled to 0 … 1, each volume from its minimum to its maximum: give the volumes, or say --modality CT"
            )


def notes_on(sources: Sources, measured: Measured, cases: list[Source], settings: Plan) -> list[str]:
    """What else the user should know of the data and of the bundle."""
    notes = [*sources.notes, *measured.labelling.notes()]
    for part in PARTS:
        facts = [measured.facts[case.name] for case in cases if case.part == part]
        seen = {value for found in facts for value in found.voxels}
        missing = [name for name, values in measured.values.items() if seen.isdisjoint(values)]
        if missing and facts:
            notes.append(f"no {part} case has {', '.join(missing)}")
    if sources.spatial_dims == 3:
        scales = {name: Scale(facts.kind, *facts.bounds) for name, facts in measured.facts.items()}
        if note := mixed_scales(scales, absolute=settings.normalisation.absolute):
            notes.append(note)
    return notes
