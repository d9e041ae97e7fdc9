"""``predict``: segment images with a bundle."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.validation import check_choice

from ..bundle.find import find_bundle
from ..errors import UserError
from ..hints import Count

FORMATS = ("nii.gz", "nii", "nrrd", "mha")
"""Formats of label maps of volumes."""


def predict(
    bundle: str,
    input: str,
    output: str,
    weights: str | None = None,
    folds: str | None = None,
    device: str | None = None,
    tta: bool = False,
    amp: bool | None = None,
    save_probabilities: bool = False,
    dicom_seg: bool = False,
    overlay: bool = False,
    nnunet_names: bool = False,
    format: str | None = None,
    override: dict[str, Any] | None = None,
    overwrite: bool = False,
    volume: Count | None = None,
) -> int:
    """Segment an image, a DICOM series or a folder of them, on the grid of each image.

    Volumes can be NIfTI, NRRD, MHA and DICOM series, pictures PNG, JPEG, TIFF and BMP. They are processed as the
    bundle's own inference config says, so the labels equal those of its `inferring`. Label maps are written as
    CASE_pred in the format of the image (NIfTI for DICOM, PNG for pictures), with a record of how they were made,
    CASE_pred.json; labels.json names the labels. A bundle that finds objects writes their numbers.

    An image that cannot be segmented is reported in one line, and the others are segmented. A second run does what is
    missing. Several processes share the images: torchrun --nproc_per_node=2 -m scanseg predict … .

    Args:
        bundle: name of a bundle, or its folder.
        input: image file, folder of a DICOM series, or folder with any number of them. In a prepared data set, a folder
            with datalist.json, the test cases are segmented.
        output: folder for the results.
        weights: weights file, by default models/model.pt in the bundle; the probabilities of several, separated by
            commas, are averaged.
        folds: all, or numbers such as 0,2: average over the weights of these folds (models/fold_0/model.pt, …).
        device: cpu, cuda or cuda:1; by default CUDA where there is a GPU.
        tta: average over mirrored images; 4 times the work in 2D, 8 times in 3D.
        amp: half precision: float16 on CUDA, bfloat16 on a CPU. By default as the bundle says on CUDA; --noamp switches
            it off.
        save_probabilities: write CASE_probabilities too: 4D NIfTI for volumes, float16 in .npz for pictures.
        dicom_seg: write a DICOM segmentation (CASE_pred.dcm) too for each DICOM series.
        overlay: write CASE_overlay.png too: the image, or three slices of a volume, with outlines of what was found.
        nnunet_names: read and write names as nnU-Net does: CASE_0000, CASE_0001, … are the channels of a case, whose
            label map is CASE. nnUNetv2_evaluate_folder then runs on the results, with the dataset.json and plans.json
            written there.
        format: nii.gz, nii, nrrd or mha for the label maps of volumes.
        override: values of the bundle's config to use instead, for example "{'sw_batch_size': 4}".
        overwrite: replace results that were made from other images, or with other weights or settings.
        volume: which volume of DICOM series that hold several (echoes, time points, …) is segmented, from 1 on; the
            results are CASE_volumeN_pred and so on.

    Returns:
        0 if all cases are done, 1 if one or more failed.

    Example:
        scanseg predict --bundle msvm_synapse --input scans --output labels --weights model.pt
    """
    if format is not None:
        check_choice("format", format, FORMATS)
    source, folder = Path(input), Path(output)
    _check_folders(source, folder)
    find_bundle(bundle)

    from .cases import find_cases, of_volume

    with quiet():
        cases, notes = find_cases(source, folder.resolve())

    from ..bundle.inference import InferenceBundle
    from . import dicom, record
    from .nnunet import by_channels, write_description
    from .predictor import Predictor
    from .ranks import Ranks
    from .segmenting import own_gpu, refuse_overwriting, segment_cases
    from .writing import Wanted

    ranks = Ranks.of_environment()
    with quiet():
        opened = InferenceBundle(bundle, override)
        if format and opened.takes_pictures:
            raise UserError(f"--format is for volumes: the label maps of {opened.name} are PNG")
        if nnunet_names:
            cases = by_channels(cases, opened.channels if not opened.takes_pictures else 1)
        if volume is not None:
            if not any(case.kind == "dicom" for case in cases):
                raise UserError(f"--volume is for DICOM series, but --input {source} has none")
            cases = [of_volume(case, volume) for case in cases]
        wanted = Wanted(format, save_probabilities, dicom_seg, overlay, nnunet_names)
        if nnunet_names and len(endings := sorted({wanted.ending(case) for case in cases})) > 1:
            raise UserError(
                f"the label maps would end in {' and '.join(endings)}, but nnU-Net's dataset.json names one ending: "
                f"give --format, or segment the images of each ending by themselves"
            )
        if dicom_seg:
            dicom.library("highdicom")
            if not any(case.kind == "dicom" for case in cases):
                raise UserError(f"--dicom-seg needs DICOM series, but --input {source} has none")
        predictor = Predictor(opened, weights, device or own_gpu(ranks), tta=tta, amp=amp, folds=folds)
        settings = record.Settings.of(predictor)
        cases = ranks.share(cases)
        states = {case.name: record.state(folder, case, wanted.files(case, opened), settings) for case in cases}
        if not overwrite:
            refuse_overwriting(folder, states)
        if ranks.rank == 0:
            for note in notes:
                print(note, file=sys.stderr)
            record.write_labels(folder, opened.values, overwrite)
            if save_probabilities and opened.takes_regions:
                record.write_labels(folder, opened.heads, overwrite, record.CHANNELS)
            if nnunet_names:
                write_description(folder, opened, wanted.ending(cases[0]), overwrite)
        counts = segment_cases(predictor, cases, states, folder, wanted, settings, ranks)
    total = ranks.total(counts)
    if ranks.rank == 0:
        done, skipped, failed = (total[state] for state in ("done", "skipped", "failed"))
        print(f"{done} done, {skipped} skipped, {failed} failed; the results are in {folder}")
    return 1 if total["failed"] else 0


def _check_folders(source: Path, folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output {folder} is a file, but a folder is needed")
    if source.is_dir() and source.resolve() == folder.resolve():
        raise UserError(f"--output {folder} is also the input: give another folder")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what libraries note about optional parts and odd headers away from the user of a command line."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
