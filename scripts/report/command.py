"""``report``: one page on a training and an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from components import __version__
from components.files import write_text

from ..errors import UserError
from .curves import curves
from .overlays import colour, picture, read_volume, write_overview
from .published import published_for
from .results import Results, read_results


@dataclass(frozen=True)
class Gallery:
    """Pictures of a test case, or the reason why there are none.

    Args:
        name: name of the case.
        pictures: slice number and ``data:`` address.
        slices: number of slices of the case.
        missing: why there is no picture.
    """

    name: str
    pictures: list[tuple[int, str]]
    slices: int = 0
    missing: str = ""


def report(output_dir: str, dataset_dir: str | None = None, slices: int = 4) -> None:
    """Make report.html from what a training and an evaluation left in their output folder.

    The page is one file that needs no network: learning curves (history.csv), scores of each class and case
    (metrics.json, metrics.csv), and the predictions over the images (predictions/CASE_pred.nii.gz). With a data set
    it also says what the data are, and overlay.png shows the first test case.

    Args:
        output_dir: the output_dir of the training and the evaluation.
        dataset_dir: the dataset_dir of the evaluation; without it there are no pictures.
        slices: number of slices shown for each test case.

    Example:
        scanseg report --output_dir output/msvm_synapse --dataset_dir data/msvm_synapse
    """
    if not isinstance(slices, int) or slices < 1:
        raise UserError(f"--slices needs a whole number from 1 on, not {slices!r}")
    output = Path(output_dir)
    results = read_results(output, Path(dataset_dir) if dataset_dir else None)
    names = class_names(results)
    galleries = _galleries(results, output, names, slices)
    write_text(output / "report.html", render(results, names, galleries))
    print(f"{output / 'report.html'} is ready")
    for gallery in galleries:
        if gallery.missing:
            print(f"no pictures of {gallery.name}: {gallery.missing}")


def class_names(results: Results) -> list[str]:
    """Names of the foreground classes, from the scores or else from the data set."""
    if "classes" in results.metrics:
        return list(results.metrics["classes"])
    labels = results.dataset.get("labels", {})
    return [labels[number] for number in sorted(labels, key=int) if number != "0"]


def render(results: Results, names: list[str], galleries: list[Gallery]) -> str:
    """The page as HTML text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["score"] = lambda value, digits=1: "–" if value in (None, "") else f"{float(value):.{digits}f}"
    environment.filters["percent"] = lambda value: "–" if value in (None, "") else f"{100 * float(value):.1f}"
    return environment.get_template("template.html").render(
        dataset=results.dataset,
        metrics=results.metrics,
        names=names,
        cases=_by_case(results) if results.metrics else {},
        published=published_for(names),
        curves=curves(results.history),
        epochs=results.history[-1]["epoch"] if results.history else "",
        galleries=galleries,
        colours={name: colour(label) for label, name in enumerate(names, start=1)},
        version=__version__,
    )


def _by_case(results: Results) -> dict[str, dict[str, dict[str, str]]]:
    cases: dict[str, dict[str, dict[str, Any]]] = {}
    for row in results.scores:
        cases.setdefault(row["case"], {})[row["class"]] = row
    return cases


def _galleries(results: Results, output: Path, names: list[str], count: int) -> list[Gallery]:
    galleries, overview = [], False
    for case in results.cases:
        try:
            volume = read_volume(case, results.dataset.get("modality", ""))
        except FileNotFoundError as error:
            galleries.append(Gallery(case.name, [], missing=f"there is no {error.filename}, run inferring first"))
            continue
        except ValueError as error:
            galleries.append(Gallery(case.name, [], missing=str(error)))
            continue
        if not overview:
            write_overview(output / "overlay.png", volume, names)
            overview = True
        pictures = [(z, picture(volume, z)) for z in volume.slices(count)]
        galleries.append(Gallery(case.name, pictures, slices=volume.grey.shape[2]))
    return galleries
