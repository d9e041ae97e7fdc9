"""``new``: a bundle for a data set of one's own."""

from __future__ import annotations

from pathlib import Path

from ..data.work import process_count
from ..errors import UserError
from ..hints import Count, Seed
from ..memory import budget as memory_budget
from .base import find_base, fitting
from .names import check_classes, check_name, check_target
from .presets import preset


def new(
    name: str,
    from_: str,
    data: str,
    out: str | None = None,
    memory: float | str | None = None,
    planner: str | None = None,
    configuration: str | None = None,
    modality: str | None = None,
    group: str | None = None,
    folds: int | None = None,
    splits: str | None = None,
    seed: Seed = 42,
    processes: Count | None = None,
    force: bool = False,
    budget: str | None = None,
    step_seconds: float | None = None,
) -> None:
    """Make a bundle for a data set of your own, planned from what is measured in it.

    The data are a folder in nnU-Net's raw layout (dataset.json, imagesTr, labelsTr), a pair of folders images and
    labels with equal names (NIfTI, NRRD, PNG, TIFF, …; the names of the classes from a dataset.json, or numbered), or a
    dataset_dir that data prepare made. Every case is measured, and damaged or contradictory data are refused. Spacing,
    patch, stages, batch and intensities are then planned by nnU-Net's published rules; what was chosen and why is
    printed and stands in docs/README.md of the bundle. Its folder data is the dataset_dir, with links to your files,
    and with copies only where a file has to be converted.

    A bundle xlstm_… gives xLSTM-UNet: in 3D for volumes, in 2D for pictures. A bundle msvm_… gives MSVM-UNet, slice by
    slice for volumes. For xlstm_cells the labels are numbers of objects (instances).

    Args:
        name: name of the new bundle: letters, digits, underscores.
        from_: the bundle to start from, by name or by the path of its folder.
        data: folder of the data set.
        out: folder in which the bundle is made; by default bundles in the repository, the current folder elsewhere.
            Outside of the repository the bundle holds the components as well: it can be taken to another machine.
        memory: GiB of the GPU to train on, filled by our estimate of what a training needs; here plans for this
            machine: for its GPU, or else for its free main memory. By default the patch and the batch are those that
            nnU-Net would plan.
        planner: one of nnU-Net's planners, whose patch and batch are taken: default (8 GB), resenc_m (8 GB, larger
            batches for small data sets) or resenc_l (24 GB).
        configuration: of xLSTM-UNet for volumes: 3d (the default), 2d (slice by slice), 3d_lowres (at a lower
            resolution, where the volumes are much larger than the patch), 3d_cascade (at the full resolution, with the
            result of the lower one as further input), or all that nnU-Net would plan for the data. The last two make
            several bundles, NAME_3d_lowres, NAME_3d_cascade and so on; the cascade needs folds.
        modality: what the images are, for example CT or MR; for CT the intensities keep their absolute scale. By
            default the name of the channel in dataset.json.
        group: a regular expression; cases in whose names it finds the same text, for example "patient[0-9]+", stay
            together when training, validation, test and folds are divided.
        folds: number of folds into which all cases that are not for the test are divided, instead of training and
            validation: each training item of datalist.json gets the number of its fold, and run training NAME --folds
            all trains them.
        splits: nnU-Net's splits_final.json, for the same folds as there; cases that it does not name are for the test.
        seed: of the division into training, validation, test and folds.
        processes: how many cases are worked on at once; by default one for each processor, up to 8.
        force: if there is such a bundle already, keep it under another name.
        budget: time for a short training on this machine, such as 1h or 45m: the bundle gets configs/short.json with as
            many iterations as fit, and a smaller network where the planned one would take too few steps. The recipe
            itself stays the default of a training.
        step_seconds: with --budget, seconds of a training step on the machine to train on; then nothing is measured
            here, and the network stays as planned.

    Example:
        scanseg new spleen --from xlstm_abdomen_mri_3d --data downloads/Task09_Spleen --modality CT
    """
    check_name(name)
    processes = process_count(processes)
    available, planner = memory_budget(memory), _planner(planner, memory)
    parent = Path(out) if out is not None else _default_folder()
    named = find_base(from_)

    from .configurations import SEVERAL, check_configuration, planned, without_cascade
    from .describe import text
    from .making import Maker
    from .measure import measure
    from .own_data import find_sources
    from .plan import plan
    from .short import Budget
    from .split import split
    from .suitability import check_folds, check_instances, check_scaled, form_of, is_usable, notes_on
    from .summary import summarise

    duration = _duration(budget, step_seconds, configuration)
    sources = find_sources(Path(data))
    several = SEVERAL.get(configuration or "", ()) if sources.spatial_dims == 3 else ()
    for target in [f"{name}_{word}" for word in several] or [name]:
        check_target(parent / target, force)
    base, pictures, base_note = fitting(named, sources.spatial_dims)
    check_instances(base, sources)
    check_configuration(configuration, base, sources)
    divided = folds is not None or splits is not None
    if divided:
        check_folds(folds, splits, base, sources)

    measured = measure(sources, processes, base.instances)
    looks = {name: facts.look for name, facts in measured.facts.items()}
    cases, division = split(sources, seed, group, looks, folds, Path(splits) if splits else None)
    test = [case.name for case in cases if case.part == "test"]
    found = summarise(sources, measured, test, _modality(modality))
    check_classes(found.classes, sources.root)
    if several:
        wanted = planned(found, available, base.variant, planner) if configuration == "all" else several
        wanted, more = without_cascade(wanted, configuration, cases)
        targets = {parent / f"{name}_{word}": word for word in wanted}
    else:
        targets, more = {parent / name: configuration or "3d"}, []
    fitted = None if duration is None else Budget(duration, found, base.network, base.variant, step_seconds)
    fit = fitted and fitted.fit
    # The network of slices has other kernels than that of a base in 3D: it cannot start from its weights.
    alike = {target: word != "2d" or sources.spatial_dims == 2 for target, word in targets.items()}
    plans = {
        target: plan(
            found, available, base.network, base.variant, fit, word, planner, base.widths if alike[target] else ()
        )
        for target, word in targets.items()
    }
    settings = next(iter(plans.values()))
    form = form_of(base, settings, measured)
    if divided and sources.ready and form.slice_axes:
        raise UserError(f"{sources.root} has slices and volumes, which are not divided into folds: give the raw data")
    ready = sources.ready and not divided and is_usable(sources, measured, form)
    if ready and form.unit:
        check_scaled(sources, measured)
    notes = [*([base_note] if base_note else []), *notes_on(sources, measured, cases, settings), *more]
    maker = Maker(
        name=name,
        base=base,
        pictures=pictures,
        sources=sources,
        cases=cases,
        division=division,
        found=found,
        form=form,
        ready=ready,
        notes=notes,
        budget=fitted,
        processes=processes,
    )
    for target, settings in plans.items():
        print(text(maker.make(target, settings, alike[target])))


def _duration(budget: str | None, step_seconds: float | None, configuration: str | None) -> float | None:
    """Seconds of a short training; None where none is wanted."""
    if budget is None:
        if step_seconds is not None:
            raise UserError("--step_seconds needs --budget, the time of the whole training")
        return None

    from .short import seconds

    duration = seconds(budget)
    if configuration not in (None, "3d"):
        raise UserError(f"--budget is for one network in 3D or for pictures: leave out --configuration {configuration}")
    return duration


def _planner(planner: str | None, memory: float | str | None) -> str | None:
    """The planner of nnU-Net whose rule is taken; None where the memory decides."""
    if planner is None:
        return "default" if memory is None else None
    preset(planner)
    if memory is not None:
        raise UserError("--planner takes the memory that nnU-Net plans for: leave out --memory, or --planner")
    return planner


def _default_folder() -> Path:
    """``bundles`` where the current folder is the repository."""
    here = Path("bundles")
    return here if here.is_dir() and Path("components").is_dir() else Path()


def _modality(given: str | None) -> str:
    """As the planner knows it: CT in capitals however it was typed."""
    text = (given or "").strip()
    return text.upper() if text.upper() in ("CT", "MR", "MRI") else text
