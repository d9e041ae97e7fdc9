"""The report on a small fabricated evaluation."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest

from components.metrics import ScoreTable


class Page(HTMLParser):
    """Collects the tags and checks that they are closed in order."""

    VOID = frozenset({"meta", "img", "br", "link", "hr", "path", "use", "rect"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def output(ct_sample, tmp_path_factory):
    """An output folder whose prediction is the ground truth, moved by a voxel and without gallbladder."""
    folder = tmp_path_factory.mktemp("output")
    (folder / "predictions").mkdir()
    names = [*json.loads((ct_sample / "dataset.json").read_text())["labels"].values()][1:]
    label = nib.load(ct_sample / "labels/test/ct_test.nii.gz")
    truth = np.asarray(label.dataobj)
    prediction = np.roll(np.where(truth == 2, 0, truth), 1, axis=0)
    nib.save(nib.Nifti1Image(prediction, label.affine), folder / "predictions" / "ct_test_pred.nii.gz")
    table = ScoreTable(names)
    table.add("ct_test", prediction, truth, label.header.get_zooms())
    (folder / "metrics.csv").write_text(table.csv())
    (folder / "metrics.json").write_text(table.json())
    rows = [f"{e},{1 / e},{0.1 / e},2.5,{'' if e % 2 else e / 10}" for e in range(1, 7)]
    (folder / "history.csv").write_text("\n".join(["epoch,loss,learning_rate,seconds,val_<mean>_dice", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def page(run, output, ct_sample):
    done = run("report", "--output_dir", output, "--dataset_dir", ct_sample)
    assert done.returncode == 0, done.stderr
    assert "report.html is ready" in done.stdout
    return Page((output / "report.html").read_text(encoding="utf-8"))


def test_page_needs_nothing_from_outside(page, output):
    text = (output / "report.html").read_text(encoding="utf-8")
    addresses = [
        attrs[key] for _, attrs in page.tags for key in ("src", "href", "xlink:href", "srcset") if key in attrs
    ]
    assert addresses
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in addresses)
    assert not re.search(r"@import|<script|<link|<iframe|url\((?!#)", text)
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\s\"'<>]+", text)) <= namespaces


def test_pictures_are_real_and_described(page):
    pictures = page.all("img")
    assert len(pictures) == 4
    for attrs in pictures:
        assert re.fullmatch(
            r"Slice \d+ of ct_test: the image, the ground truth and the prediction side by side", attrs["alt"]
        )
        png = base64.b64decode(attrs["src"].partition(",")[2], validate=True)
        array = matplotlib.image.imread(io.BytesIO(png))
        coloured = (np.ptp(array[..., :3], axis=2) > 0.1).any(0)
        third = array.shape[1] // 3
        assert not coloured[: third - 10].any()  # the image is grey, ground truth and prediction are not
        assert coloured[third : 2 * third].any()
        assert coloured[2 * third + 10 :].any()


def test_curves_are_described_and_escaped(page):
    described = [attrs["aria-label"] for attrs in page.all("svg")]
    assert [text.partition(":")[0] for text in described] == ["Training loss", "Validation", "Learning rate"]
    assert "lowest 0.1667, highest 1." in described[0]
    assert "<mean> dice: 0.2 at epoch 2, 0.6 at epoch 6" in described[1]
    identifiers = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(set(identifiers)) == len(identifiers)
    links = {attrs[key] for _, attrs in page.tags for key in ("href", "xlink:href") if key in attrs}
    assert {link.lstrip("#") for link in links} <= set(identifiers)


def test_tables_hold_the_scores_and_the_paper(page, output):
    summary = json.loads((output / "metrics.json").read_text())
    text = " ".join("".join(page.text).split())
    for scores in summary["classes"].values():
        assert f"{100 * scores['strict']['dice']:.1f}" in text
        assert f"{scores['strict']['hd95_mm']:.1f}" in text
    for number in ("88.73", "74.90", "85.62", "84.47", "95.74", "71.53", "92.52", "86.51", "85.00", "14.75"):
        assert number in text
    assert "arXiv 2408.13735" in text
    for convention in summary["conventions"].values():
        assert convention in text


def test_page_says_first_that_it_is_a_demonstration(page):
    text = " ".join("".join(page.text).split())
    assert text.index("A demonstration.") < text.index("Mean Dice")
    assert "same patient" in text
    assert "not drawn by a reader" in text


def test_page_is_for_phones_and_for_the_dark(page, output):
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert "prefers-color-scheme: dark" in (output / "report.html").read_text(encoding="utf-8")
    assert page.all("html") == [{"lang": "en"}]
    assert all(len(page.all(tag)) == 1 for tag in ("main", "header", "footer", "h1", "title"))
    assert all("scope" in attrs for attrs in page.all("th"))


def test_overview_picture_is_written(page, output):
    array = matplotlib.image.imread(output / "overlay.png")
    assert array.shape[0] > 300
    assert array.shape[1] > 300
    assert sorted(p.name for p in output.iterdir()) == [
        "history.csv", "metrics.csv", "metrics.json", "overlay.png", "predictions", "report.html",
    ]  # fmt: skip


def test_same_bytes_every_time(page, run, output, ct_sample):
    before = (output / "report.html").read_bytes(), (output / "overlay.png").read_bytes()
    assert run("report", "--output_dir", output, "--dataset_dir", ct_sample).returncode == 0
    assert ((output / "report.html").read_bytes(), (output / "overlay.png").read_bytes()) == before


def test_training_alone_has_curves(run, output, tmp_path):
    (tmp_path / "history.csv").write_text((output / "history.csv").read_text())
    assert run("report", "--output_dir", tmp_path).returncode == 0
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.all("svg")) == 3
    assert page.all("table") == page.all("img") == []


def test_missing_or_wrong_prediction_is_told_not_hidden(run, output, ct_sample, tmp_path):
    (tmp_path / "metrics.json").write_text((output / "metrics.json").read_text())
    done = run("report", "--output_dir", tmp_path, "--dataset_dir", ct_sample)
    assert done.returncode == 0
    assert "no pictures of ct_test: there is no" in done.stdout
    assert "run inferring first" in "".join(Page((tmp_path / "report.html").read_text(encoding="utf-8")).text)
    (tmp_path / "predictions").mkdir()
    other = nib.Nifti1Image(np.zeros((5, 5, 5), np.uint8), np.eye(4))
    nib.save(other, tmp_path / "predictions" / "ct_test_pred.nii.gz")
    assert (
        "has shape (5, 5, 5), but its image (101, 122, 14)"
        in run("report", "--output_dir", tmp_path, "--dataset_dir", ct_sample).stdout
    )


def test_other_classes_have_no_paper_column(run, tmp_path):
    table = ScoreTable(["tumour & <oedema>"])
    table.add("a", np.eye(4, dtype=int), np.eye(4, dtype=int), (1, 1))
    (tmp_path / "metrics.json").write_text(table.json())
    (tmp_path / "metrics.csv").write_text(table.csv())
    assert run("report", "--output_dir", tmp_path).returncode == 0
    text = "".join(Page((tmp_path / "report.html").read_text(encoding="utf-8")).text)
    assert "tumour & <oedema>" in text
    assert "Paper" not in text


def test_wrong_dataset_is_told(run, output, tmp_path):
    done = run("report", "--output_dir", output, "--dataset_dir", tmp_path)
    assert done.returncode == 2
    assert "has no datalist.json: give the dataset_dir" in done.stderr
    assert done.stderr.count("\n") == 1
