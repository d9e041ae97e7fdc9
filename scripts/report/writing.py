"""The files of a report, and what is printed of it."""

from __future__ import annotations

from pathlib import Path

from components.files import write_text

from ..folds.cases import fold_folders
from .agreement import agreements
from .galleries import OVERVIEW, Gallery, galleries
from .out_of_fold import FOLDER, fold_results, fold_table
from .overview import write_overview
from .page import render
from .publish import to_mlflow, to_tensorboard
from .results import Results, read_results
from .scores import columns, leading, plain_table
from .volume import Volume


def write_reports(
    output: Path, dataset: Path | None, slices: int, cases: int, mlflow: str | None, tensorboard: str | None
) -> None:
    """Write the page of the folds together, where there are some, and that of the output folder itself.

    Args:
        output: the output_dir.
        dataset: the dataset_dir; None for pages without pictures.
        slices: largest number of slices shown of a case in each plane.
        cases: number of cases with pictures.
        mlflow: tracking URI to send the pages to, or None.
        tensorboard: folder of events to write to, or None.
    """
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
