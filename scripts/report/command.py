"""``report``: one page on a training and an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from components import __version__
from components.files import write_text

from ..errors import UserError
from .curves import curves
from .overlays import colour, picture, read_volume, write_overview
from .published import published_for
from .results import Results, read_results
from .scores import PIXELS, Column, class_table, columns, leading, plain_table

OVERVIEW = 3
"""Number of slices in overlay.png."""


@dataclass(frozen=True)
class Gallery:
    """Pictures of a test case, or the reason why there are none.

    Args:
        name: name of the case.
        pictures: slice number, names of what is side by side, and ``data:`` address.
        slices: number of slices of the case.
        missing: why there is no picture.
    """

    name: str
    pictures: list[tuple[int, list[str], str]]
    slices: int = 0
    missing: str = ""


def report(output_dir: str, dataset_dir: str | None = None, slices: int = 4, cases: int = 6) -> None:
    """Make report.html from what a training and an evaluation left in their output folder.

    The page is one file that needs no network: learning curves (history.csv), scores of each class and case
    (metrics.json, metrics.csv), and the predictions over the images (predictions/CASE_pred.nii.gz or .png). With a data
    set it also says what the data are, and overlay.png shows the first test cases. At its end the strict scores are
    printed.

    Args:
        output_dir: the output_dir of the training and the evaluation.
        dataset_dir: the dataset_dir of the evaluation; without it there are no pictures.
        slices: number of slices shown for each test case.
        cases: number of test cases with pictures; the first ones are taken.

    Example:
        scanseg report --output_dir output/msvm_synapse --dataset_dir data/msvm_synapse
    """
    for flag, number in (("slices", slices), ("cases", cases)):
        if not isinstance(number, int) or number < 1:
            raise UserError(f"--{flag} needs a whole number from 1 on, not {number!r}")
    output = Path(output_dir)
    results = read_results(output, Path(dataset_dir) if dataset_dir else None)
    galleries = _galleries(results, output / "overlay.png", slices, cases)
    write_text(output / "report.html", render(results, galleries))
    for gallery in galleries:
        if gallery.missing:
            print(f"no pictures of {gallery.name}: {gallery.missing}")
    if results.metrics:
        print(plain_table(results.metrics, _leading(results)))
    print(f"{output / 'report.html'} is ready")


def label_names(results: Results) -> list[str]:
    """Names of the labels from 1 on, from the data set or else from the scores."""
    labels = results.dataset.get("labels", {})
    return [labels[number] for number in sorted(labels, key=int) if number != "0"] or list(
        results.metrics.get("classes", {})
    )


def render(results: Results, galleries: list[Gallery]) -> str:
    """The page as HTML text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    metrics, dataset = results.metrics, results.dataset
    published = published_for(list(metrics.get("classes", ())), dataset.get("bundle", ""))
    return environment.get_template("template.html").render(
        dataset=dataset,
        metrics=metrics,
        table=class_table(metrics, published, results.flat) if metrics else None,
        leading=_leading(results),
        distances="HD95 in pixels." if PIXELS in _leading(results) else metrics.get("spacing", ""),
        cases=_by_case(results) if metrics else {},
        published=published,
        curves=curves(results.history),
        epochs=results.history[-1]["epoch"] if results.history else "",
        galleries=galleries,
        others=[case.name for case in results.cases[len(galleries) :]],
        colours={name: colour(label) for label, name in enumerate(label_names(results), start=1)},
        version=__version__,
    )


def _leading(results: Results) -> list[Column]:
    return leading(columns(results.metrics["scores"]["strict"], results.flat)) if results.metrics else []


def _by_case(results: Results) -> dict[str, dict[str, dict[str, str]]]:
    cases: dict[str, dict[str, dict[str, Any]]] = {}
    for row in results.scores:
        cases.setdefault(row["case"], {})[row["class"]] = row
    return cases


def _galleries(results: Results, overview: Path, slices: int, cases: int) -> list[Gallery]:
    galleries: list[Gallery] = []
    first: list[dict[str, np.ndarray]] = []
    for case in results.cases[:cases]:
        try:
            volume = read_volume(case, results.dataset.get("modality", ""))
        except UserError as error:
            galleries.append(Gallery(case.name, [], missing=str(error)))
            continue
        if len(first) < OVERVIEW:
            first += [volume.panels(z) for z in volume.slices(OVERVIEW - len(first))]
        shown = [(z, volume.panels(z)) for z in volume.slices(slices)]
        pictures = [(z, list(panels), picture(panels)) for z, panels in shown]
        galleries.append(Gallery(case.name, pictures, slices=volume.prediction.shape[2]))
    if first:
        write_overview(overview, first, label_names(results))
    return galleries
