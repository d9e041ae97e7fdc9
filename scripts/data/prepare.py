"""``data prepare``: from a published data set to the folder that a bundle reads."""

from __future__ import annotations

import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.files import read_json, write_text
from components.images.orientation import DISPLAY, checked_axcodes
from components.validation import check_choice

from ..errors import UserError
from ..files import check_free
from ..hints import Count
from ..tables import aligned
from .dataset import Dataset, is_complete
from .layouts import ConversionPlan, Converter, Layout, RawCase, recognise
from .work import process_count, work

SOURCES: dict[str, str] = {
    "msvm_synapse": ".sources.synapse",
    "msvm_acdc": ".sources.acdc",
    "xlstm_abdomen_mri_3d": ".sources.abdomen_mri",
    "xlstm_endoscopy": ".sources.endoscopy",
    "xlstm_cells": ".sources.cells",
    "xlstm_hippocampus_mri_3d": ".sources.hippocampus",
    "xlstm_nuclei": ".sources.bowl",
    "decathlon": ".sources.decathlon",
}
"""For each bundle, and for data without one, the module whose LAYOUTS are the forms in which the data are found."""

OF_PICTURES = ("xlstm_endoscopy", "xlstm_cells")
"""Bundles whose data have no place in the world."""
VALIDATION = ("held_out", "none")
"""What becomes of the cases that are kept apart to select the weights."""

CHOICES = {"validation": "held_out", "axcodes": DISPLAY}
"""Options that change what is made, with their defaults."""
STATE = ".prepare"
"""Folder inside an unfinished data set: what it is made of, and a record of each case that is done."""


def prepare(
    name: str,
    source: str,
    out: str,
    processes: Count | None = None,
    validation: str = "held_out",
    axcodes: str = DISPLAY,
) -> None:
    """Turn a published data set into the folder that a bundle reads.

    The layout of the data is recognised. The folder gets images, labels, datalist.json (the lists of training,
    validation and test) and dataset.json (what the data are, how they were divided, what was done to them). An
    interrupted run continues where it stopped when it is started again.

    Args:
        name: name of the bundle: msvm_synapse, msvm_acdc, xlstm_abdomen_mri_3d, xlstm_endoscopy, xlstm_cells,
            xlstm_hippocampus_mri_3d or xlstm_nuclei. "decathlon" takes any task of the Medical Segmentation Decathlon,
            for a bundle that new makes.
        source: folder with the published data set, unpacked.
        out: folder to make.
        processes: how many cases are processed at once; by default one for each processor, up to 8.
        validation: "held_out" keeps the validation cases apart; "none" puts them into the training list, as in the
            published training of msvm_synapse. Then the last weights of a training are kept, not the best ones, as
            the test list is not used to select weights.
        axcodes: orientation of volumes, PLS for rows to posterior, columns to the patient's left, slices to superior;
            "stored" keeps the arrays as they are in the files, for published weights that were trained that way: give
            the same to the runs of the bundle.

    Example:
        scanseg data prepare msvm_synapse --source downloads/Synapse --out data/msvm_synapse
    """
    check_choice("bundle", name, SOURCES)
    check_choice("--validation", validation, VALIDATION)
    checked_axcodes(axcodes)
    if axcodes != DISPLAY and name in OF_PICTURES:
        raise UserError(f"--axcodes is for volumes, but {name} takes pictures: leave it out")
    processes = process_count(processes)
    layout, plan = recognise(name, importlib.import_module(SOURCES[name], __package__).LAYOUTS, Path(source))
    if validation == "none":
        _train_with_all(plan)
    plan.dataset.details = {"layout": layout.name, **plan.dataset.details, "notes": plan.notes}
    plan.dataset.details["cases"] = len(plan.cases)
    plan.dataset.details["validation"] = validation
    if name not in OF_PICTURES:
        plan.cases[:] = [replace(case, axcodes=axcodes) for case in plan.cases]
        plan.dataset.details["axcodes"] = axcodes
    print(f"{source}: {layout.name}, {len(plan.cases)} cases")
    for note in plan.notes:
        print(f"note: {note}")

    folder = Path(out)
    if _is_ready(folder, plan):
        shutil.rmtree(folder / STATE, ignore_errors=True)
        print(f"{folder} already holds this data set; nothing to do")
        return
    records = _begin(folder, plan, layout, Path(source))
    if records:
        print(f"{len(records)} of {len(plan.cases)} cases are already done")
    jobs = [(plan.convert, case, folder) for case in plan.cases if case.key not in records]
    for (_, case, _), record in work(_convert, jobs, processes, "preparing", "cases"):
        records[case.key] = record
    dataset = _finish(folder, plan, records)
    print(_summary(folder, dataset))


def _train_with_all(plan: ConversionPlan) -> None:
    moved = [case.name for case in plan.cases if case.part == "validation"]
    plan.cases[:] = [replace(case, part="training") if case.part == "validation" else case for case in plan.cases]
    plan.notes.append(
        f"the {len(moved)} validation cases are in the training list (--validation none): a training keeps its last "
        "weights"
    )
    plan.dataset.split += f" Here the validation cases are training cases, too (--validation none): {', '.join(moved)}."


def _is_ready(folder: Path, plan: ConversionPlan) -> bool:
    dataset = plan.dataset
    if not is_complete(folder, dataset.name, dataset.bundle):
        return False
    record = read_json(folder / "dataset.json")
    for option, default in CHOICES.items():
        before, now = (details.get(option, default) for details in (record, dataset.details))
        if before != now:
            raise UserError(
                f"{folder} already holds this data set, made with --{option} {before}: delete it, or choose another "
                "folder with --out"
            )
    before = record.get("cases")
    if before != len(plan.cases):
        raise UserError(
            f"{folder} already holds this data set, made from {before} cases, but now there are {len(plan.cases)}: "
            f"delete it, or choose another folder with --out"
        )
    return True


def _begin(folder: Path, plan: ConversionPlan, layout: Layout, source: Path) -> dict[str, dict[str, Any]]:
    state = folder / STATE
    made_of = {"name": plan.dataset.name, "layout": layout.name, "source": str(source.resolve())}
    made_of |= {option: plan.dataset.details.get(option, default) for option, default in CHOICES.items()}
    if not (state / "made_of.json").is_file():
        check_free(folder)
        write_text(state / "made_of.json", json.dumps(made_of))
    elif (before := read_json(state / "made_of.json")) != made_of:
        options = " ".join(f"--{option} {before.get(option, default)}" for option, default in CHOICES.items())
        begun = f"{before['source']} with {options}"
        raise UserError(f"{folder} was started from {begun}: delete it, or choose another folder with --out")
    records = {case.key: _record_path(folder, case) for case in plan.cases}
    return {key: read_json(path) for key, path in records.items() if path.is_file()}


def _convert(job: tuple[Converter, RawCase, Path]) -> dict[str, Any]:
    convert, case, folder = job
    record = convert(case, folder)
    write_text(_record_path(folder, case), json.dumps(record))
    return record


def _record_path(folder: Path, case: RawCase) -> Path:
    return folder / STATE / f"{case.key}.json"


def _finish(folder: Path, plan: ConversionPlan, records: dict[str, dict[str, Any]]) -> Dataset:
    dataset = plan.dataset
    found = {label: {"cases": 0, "voxels": 0} for label in dataset.labels[1:]}
    for case in plan.cases:
        record = records[case.key]
        dataset.take(record)
        for number, voxels in record["voxels"].items():
            found[dataset.labels[int(number)]]["cases"] += 1
            found[dataset.labels[int(number)]]["voxels"] += voxels
    dataset.details["classes_found"] = found
    for partial in folder.rglob(".partial.*"):
        partial.unlink()
    dataset.write(folder)
    shutil.rmtree(folder / STATE)
    return dataset


def _summary(folder: Path, dataset: Dataset) -> str:
    found = dataset.details["classes_found"]
    counts = ", ".join(f"{len(items)} {part}" for part, items in dataset.lists.items())
    rows = [(name, f"{number['cases']:,}", f"{number['voxels']:,}") for name, number in found.items()]
    lines = [f"{folder} is ready: {dataset.name} ({counts})", aligned(rows, ("class", "cases", "voxels"))]
    if absent := [name for name, number in found.items() if not number["cases"]]:
        lines.append(f"note: no case has {', '.join(absent)}")
    return "\n".join([*lines, dataset.caution] if dataset.caution else lines)
