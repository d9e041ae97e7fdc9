"""Reading of the report's HTML, and small data sets to report on."""

import base64
import io
import json
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
from PIL import Image

from components.metrics import ScoreTable
from scripts.cli import main
from scripts.data.labels import CLASSES

EVIL = "<img src=x onerror=alert(1)>"
"""A name that a page must show and not take for an element."""


class Page(HTMLParser):
    """Collects the tags and checks that they are closed in order."""

    VOID = frozenset({"meta", "img", "br", "link", "hr", "input"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.parts, self.open, self.raw = [], [], [], text
        self.rows = []
        """Texts of the cells of each row of each table."""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.parts.append(data)
            if "td" in self.open or "th" in self.open:
                self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]}{data}".split())

    def in_a_row(self, *cells):
        """Whether these stand side by side in a row of a table."""
        n = len(cells)
        return any(tuple(row[i : i + n]) == cells for row in self.rows for i in range(len(row) - n + 1))

    def all(self, tag, **wanted):
        return [attrs for name, attrs in self.tags if name == tag and wanted.items() <= attrs.items()]

    @property
    def text(self):
        return " ".join("".join(self.parts).split())

    def slices(self):
        """What the sliders show, as JSON: one for each plane with several slices."""
        parts = self.raw.split('<script type="application/json">')[1:]
        return [json.loads(part.partition("</script>")[0]) for part in parts]


def opened(address):
    """The picture of a data: address as RGBA, 0 … 255."""
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2], validate=True))) as image:
        return np.asarray(image.convert("RGBA")).astype(int)


def made(data, output, *words):
    """The report of a data set and an output folder."""
    assert main(["report", "--output_dir", str(output), "--dataset_dir", str(data), *map(str, words)]) == 0
    return Page((output / "report.html").read_text(encoding="utf-8"))


def volumes(folder, cases, names, caution="", shift=1):
    """A data set of volumes with one cube for each class, moved by some voxels in the predictions.

    Args:
        folder: an empty folder.
        cases: names of the cases; the prediction of each is moved farther.
        names: names of the classes.
        caution: what the data set warns of.
        shift: voxels by which the first prediction is moved.
    """
    data, output = folder / "data", folder / "output"
    for path in (data / "images", data / "labels", output / "predictions"):
        path.mkdir(parents=True)
    table, items = ScoreTable(names), []
    affine = np.diag([-2.0, -1.0, 3.0, 1.0])
    for number, name in enumerate(cases):
        label = np.zeros((24, 30, 12), np.uint8)
        for k in range(len(names)):
            label[4:16, 3 + 8 * k : 9 + 8 * k, 3:9] = k + 1
        prediction = np.roll(label, shift + number, axis=0)
        image = label * 40 + np.random.default_rng(number).integers(0, 20, label.shape)
        for path, array in (
            (data / "images" / f"{name}.nii.gz", image.astype(np.int16)),
            (data / "labels" / f"{name}.nii.gz", label),
            (output / "predictions" / f"{name}_pred.nii.gz", prediction.astype(np.uint8)),
        ):
            nib.save(nib.Nifti1Image(array, affine), path)
        table.add(name, prediction, label, (2, 1, 3))
        items.append({"image": f"images/{name}.nii.gz", "label": f"labels/{name}.nii.gz"})
    record = {"bundle": "own", "caution": caution, "labels": {"0": "background", **_numbered(names)}}
    (data / "datalist.json").write_text(json.dumps({"test": items}))
    (data / "dataset.json").write_text(json.dumps(record))
    (output / "metrics.csv").write_text(table.csv())
    (output / "metrics.json").write_text(table.json())
    return data, output


def pictures(folder, bundle, images, labels, table):
    """A data set of pictures and an output folder whose predictions are the labels."""
    data, output = folder / "data", folder / "output"
    for path in (data / "images", data / "labels", output / "predictions"):
        path.mkdir(parents=True)
    items = []
    for name, label in labels.items():
        Image.fromarray(images[name]).save(data / "images" / f"{name}.png")
        Image.fromarray(label).save(data / "labels" / f"{name}.png")
        Image.fromarray(label).save(output / "predictions" / f"{name}_pred.png")
        items.append({"image": f"images/{name}.png", "label": f"labels/{name}.png"})
    record = {"bundle": bundle, "labels": {str(k): name for k, name in enumerate(CLASSES[bundle])}}
    (data / "datalist.json").write_text(json.dumps({"test": items}))
    (data / "dataset.json").write_text(json.dumps(record))
    (output / "metrics.csv").write_text(table.csv())
    (output / "metrics.json").write_text(table.json())
    return data, output


def _numbered(names):
    return {str(k): name for k, name in enumerate(names, start=1)}
