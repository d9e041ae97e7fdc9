"""``report``: one page on a training and an evaluation."""

from __future__ import annotations

from pathlib import Path

from components.files import write_text

from ..folds.outputs import fold_folders
from ..hints import Count
from .agreement import agreements
from .folds import FOLDER, fold_results, fold_table
from .galleries import OVERVIEW, Gallery, galleries
from .overview import write_overview
from .page import render
from .publish import to_mlflow, to_tensorboard
from .results import Results, read_results
from .scores import columns, leading, plain_table
from .volume import Volume


def report(
    output_dir: str,
    dataset_dir: str | None = None,
    slices: Count = 16,
    cases: Count = 3,
    mlflow: str | None = None,
    tensorboard: str | None = None,
) -> None:
    """Make report.html from what a training and an evaluation left in their output folder.

    The page is one file that needs no network: learning curves (history.csv), scores of each class and case
    (metrics.json, metrics.csv), agreement of volumes, how it was run (training.json, evaluation.json), and the
    predictions over the images (predictions/CASE_pred.nii.gz or .png) with their errors, for the best, the median and
    the worst case. With a data set it also describes the data, and overlay.png shows some slices. The strict scores are
    printed at the end.

    If the folder holds the folds of a cross-validation (fold_0, …), the same is made for all of them together in its
    folder out_of_fold: every case is scored by the network that has not seen it. The mean of each fold and the standard
    deviation of these means are printed and written to out_of_fold/metrics.json.

    Args:
        output_dir: the output_dir of the training and the evaluation.
        dataset_dir: the dataset_dir of the evaluation; without it there are no pictures.
        slices: largest number of slices shown of a case in each plane.
        cases: number of test cases with pictures, from the best to the worst.
        mlflow: tracking URI of MLflow, such as sqlite:///O/mlruns.db, to send the page, the picture and the scores to:
            to the run of the training where it was tracked there, else to a run of its own.
        tensorboard: folder of TensorBoard's events to write the picture and the scores to.

    Example:
        scanseg report --output_dir output/msvm_synapse --dataset_dir data/msvm_synapse
    """
    output, dataset = Path(output_dir), Path(dataset_dir) if dataset_dir else None
    folds = fold_folders(output)
    if folds:
        _write(fold_results(output, dataset), output / FOLDER, slices, cases, mlflow, tensorboard)
    if not folds or (output / "metrics.json").is_file() or (output / "history.csv").is_file():
        _write(read_results(output, dataset), output, slices, cases, mlflow, tensorboard)


def _write(
    results: Results, output: Path, slices: int, cases: int, mlflow: str | None, tensorboard: str | None
) -> None:
    """Write the page of some results, and print their summary."""
    shown = leading(columns(results.metrics["scores"]["strict"], results.flat)) if results.metrics else []
    found = galleries(results, shown, cases, slices)
    sizes = agreements(results.scores, results.cases, results.classes, results.flat, results.ignore)
    page, overview = output / "report.html", output / "overlay.png"
    write_text(page, render(results, shown, found, sizes))
    if panels := _panels(found):
        write_overview(overview, panels, results.label_names)
    for gallery in found:
        if gallery.missing:
            print(f"no pictures of {gallery.name}: {gallery.missing}")
    if mlflow:
        print(f"sent to {to_mlflow(results, mlflow, page, overview if panels else None)}")
    if tensorboard:
        to_tensorboard(results, tensorboard, overview if panels else None)
        print(f"written to {tensorboard}")
    if results.metrics:
        print(plain_table(results.metrics, shown))
    if "folds" in results.metrics:
        print(fold_table(results, shown))
    print(f"{page} ({page.stat().st_size / 1e6:.1f} MB) is ready")


def _panels(found: list[Gallery]) -> list[tuple[Volume, int]]:
    """Slices of the first cases that can be shown: one of each, or some of the only one."""
    volumes = [gallery.volume for gallery in found if gallery.volume is not None]
    if len(volumes) == 1:
        (volume,) = volumes
        numbers = volume.slices(volume.planes[0], OVERVIEW + 2)
        return [(volume, number) for number in (numbers[1:-1] if len(numbers) > OVERVIEW + 1 else numbers[:OVERVIEW])]
    return [(v, v.fullest(v.planes[0], v.slices(v.planes[0], v.prediction.shape[2]))) for v in volumes]
