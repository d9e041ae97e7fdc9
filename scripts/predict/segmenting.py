"""The cases of ``predict``, segmented and written one after the other."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from ..errors import UserError, one_line, root_cause
from . import dicom, record
from .cases import Case
from .predictor import Predictor
from .ranks import Ranks
from .reading import load_case
from .writing import Wanted, write_prediction


def segment_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    states: Mapping[str, str],
    folder: Path,
    wanted: Wanted,
    settings: record.Settings,
    ranks: Ranks,
) -> Counter[str]:
    """Segment cases and write what is wanted of each; one that fails is told in a line, and the others go on.

    Args:
        predictor: the bundle with its weights.
        cases: what to segment.
        states: of each case by its name, as of :func:`scripts.predict.record.state`.
        folder: for the results.
        wanted: what to write.
        settings: what goes into the record of each case.
        ranks: this process; only the first shows a bar.

    Returns:
        How many were "done", "skipped" as done before, and "failed".
    """
    counts: Counter[str] = Counter(done=0, skipped=0, failed=0)
    bundle = predictor.bundle
    # The bar is for people: it stays away where stderr is no terminal.
    with tqdm(total=len(cases), desc=bundle.name, unit="case", disable=True if ranks.rank else None) as bar:
        for case in cases:
            bar.set_postfix_str(case.name)
            names = wanted.files(case, bundle)
            if states[case.name] == record.DONE:
                counts["skipped"] += 1
            else:
                try:
                    loaded = load_case(case, bundle)
                    if "segmentation" in names:
                        dicom.check_source(loaded.dicom)
                    prediction = predictor.segment(case, loaded, wanted.probabilities)
                    record.begin(folder, case, names, settings)
                    write_prediction(folder, names, prediction, loaded, bundle, settings.weights_sha256)
                    counts["done"] += 1
                except Exception as error:  # one case must not end the others
                    counts["failed"] += 1
                    with tqdm.external_write_mode(file=sys.stderr):
                        print(f"failed: {case.name}: {_reason(error)}", file=sys.stderr)
            bar.update()
    return counts


def _reason(error: BaseException) -> str:
    error = root_cause(error)
    told = one_line(error)
    if isinstance(error, torch.cuda.OutOfMemoryError):
        torch.cuda.empty_cache()
        return "the GPU has too little memory: give --device cpu, or --override \"{'sw_batch_size': 1}\""
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {told}"
    if isinstance(error, UserError) or (isinstance(error, OSError) and error.errno is not None):
        return told
    return f"unexpected {type(error).__name__}: {told}"


def own_gpu(ranks: Ranks) -> str | None:
    """The GPU of this process, where several share the machine."""
    count = torch.cuda.device_count()
    return f"cuda:{ranks.local % count}" if ranks.count > 1 and count else None


def refuse_overwriting(folder: Path, states: Mapping[str, str]) -> None:
    """Raise UserError if results are there that this command, or another image or setting, made.

    Args:
        folder: of the results.
        states: of each case by its name.
    """
    why = {
        record.CHANGED: "made from another image, or with other weights or settings",
        record.FOREIGN: "not made by this command",
    }
    for kind, reason in why.items():
        if found := [name for name, state in states.items() if state == kind]:
            more = f" and {len(found) - 1} others" if len(found) > 1 else ""
            raise UserError(
                f"{folder} has results of {found[0]}{more} that were {reason}: "
                "give another --output, or --overwrite to replace them"
            )
