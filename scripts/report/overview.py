"""overlay.png: some slices as one picture, for a page that cannot hold the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from components.files import replacing

from .colours import colour
from .pictures import composed, layer_images, layer_names
from .volume import Volume

ROWS = {"image": "image", "truth": "ground truth", "prediction": "prediction"}
HEIGHT = 2.6
"""Height of a row in inches."""


def write_overview(path: Path, columns: Sequence[tuple[Volume, int]], class_names: Sequence[str]) -> None:
    """Write one picture: a column for each of some slices, with the names of the classes below.

    Args:
        path: the PNG file.
        columns: case and number of an axial slice (0 for a picture).
        class_names: names of the labels from 1 on.
    """
    panels = [_panels(volume, number) for volume, number in columns]
    rows = [name for name in ROWS if any(name in panel for panel in panels)]
    widths = [panel["image"].shape[1] / panel["image"].shape[0] for panel in panels]
    size = HEIGHT * sum(widths) + 0.4, HEIGHT * len(rows) + 0.7
    figure = Figure(figsize=size, facecolor="#111111")
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    axes = figure.subplots(len(rows), len(columns), squeeze=False, width_ratios=widths)
    for (row, column), place in np.ndenumerate(axes):
        if rows[row] not in panels[column]:
            place.set_axis_off()
            continue
        place.imshow(panels[column][rows[row]])
        place.set(xticks=[], yticks=[])
        if column == 0:
            place.set_ylabel(ROWS[rows[row]], color="white")
    handles = [Patch(color=colour(label), label=name) for label, name in enumerate(class_names, start=1)]
    ncols = int(min(max(size[0] // 2, 1), 4))
    figure.legend(handles=handles, loc="outside lower center", ncols=ncols, frameon=False, labelcolor="white")
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=90, metadata={"Software": None})


def _panels(volume: Volume, number: int) -> dict[str, np.ndarray]:
    image, *maps = layer_images(volume, volume.planes[0], number)
    layers = dict(zip(layer_names(volume)[1:], maps, strict=True))
    layers.pop("errors", None)
    return {
        "image": np.asarray(composed(image)),
        **{name: np.asarray(composed(image, layer)) for name, layer in layers.items()},
    }
