"""report.html: everything in one file that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from components import __version__

from .agreement import Agreement
from .colours import ERRORS, colour
from .curves import curves, heading
from .galleries import Gallery
from .published import published_for
from .ranking import case_means
from .results import Results
from .runs import changes, facts, unknown, unused, warnings
from .scores import PIXELS, Column, class_table

TEMPLATES = Path(__file__).parent / "page"
PANELS = {"truth": "Ground truth", "prediction": "Prediction", "errors": "Errors"}


def render(results: Results, leading: list[Column], galleries: list[Gallery], agreements: list[Agreement]) -> str:
    """The page as HTML text.

    Args:
        results: what training and evaluation left.
        leading: the leading columns of the scores.
        galleries: pictures of some cases.
        agreements: agreement of predicted and true sizes for each class.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    metrics, dataset = results.metrics, results.dataset
    published = published_for(list(metrics.get("classes", ())), dataset.get("bundle", ""))
    shown = [gallery.name for gallery in galleries]
    return environment.get_template("report.html").render(
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - our own
        script=Markup((TEMPLATES / "script.js").read_text(encoding="utf-8")),  # noqa: S704 - our own
        title=f"{dataset.get('bundle') or 'scanseg'}: report",
        dataset=dataset,
        metrics=metrics,
        table=class_table(metrics, published, results.flat) if metrics else None,
        leading=leading,
        distances="HD95 and ASD in pixels."
        if not {*PIXELS.values()}.isdisjoint(leading)
        else metrics.get("spacing", ""),
        cases=_by_case(results) if metrics else {},
        means={column.key: case_means(results.scores, f"strict_{column.key}") for column in leading},
        published=published,
        curves=curves(results.history),
        history=results.history,
        heading=heading,
        epochs=results.history[-1]["epoch"] if results.history else "",
        agreements=agreements,
        galleries=galleries,
        panels=PANELS,
        error_kinds=ERRORS,
        others=[case.name for case in results.cases if case.name not in shown] if galleries else [],
        colours={name: colour(label) for label, name in enumerate(results.label_names, start=1)},
        runs=results.runs,
        facts=facts(results.runs),
        changes=changes(results.runs),
        unknown=unknown(results.runs),
        unused=unused(results.runs),
        warnings=warnings(results.runs),
        version=__version__,
    )


def _by_case(results: Results) -> dict[str, dict[str, dict[str, Any]]]:
    cases: dict[str, dict[str, dict[str, Any]]] = {}
    for row in results.scores:
        cases.setdefault(row["case"], {})[row["class"]] = row
    return cases
