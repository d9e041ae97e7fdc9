"""The report on a small fabricated evaluation."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from components.metrics import FrameScoring, InstanceScoring, OrganScoring, ScoreTable
from components.transforms.instances import interior_boundary
from scripts.__main__ import main
from scripts.data.labels import CLASSES
from scripts.report.published import TABLES, published_for
from scripts.report.scores import columns

ROOT = Path(__file__).parents[2]


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
    assert done.stdout.endswith(f"\n{output / 'report.html'} is ready\n")
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
        assert re.fullmatch(r"Slice \d+ of ct_test: image, ground truth, prediction side by side", attrs["alt"])
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


def test_scores_are_printed_as_an_aligned_table(output, capsys):
    assert main(["report", "--output_dir", str(output)]) == 0
    *lines, ready = capsys.readouterr().out.splitlines()
    summary = json.loads((output / "metrics.json").read_text())
    rows = [*summary["classes"].items(), ("Mean", summary["mean"])]
    assert len({len(line) for line in lines}) == 1
    assert re.split("  +", lines[0]) == ["Class", "Dice %", "HD95 mm"]
    assert [re.split("  +", line) for line in lines[1:]] == [
        [name, f"{100 * row['strict']['dice']:.1f}", f"{row['strict']['hd95_mm']:.1f}"] for name, row in rows
    ]
    assert ready == f"{output / 'report.html'} is ready"


def picture_data(folder, bundle, images, labels, table):
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


def made(data, output, *words):
    assert main(["report", "--output_dir", str(output), "--dataset_dir", str(data), *words]) == 0
    return Page((output / "report.html").read_text(encoding="utf-8"))


@pytest.fixture
def frames(tmp_path):
    """Eight frames: red above, blue below; an instrument of class 2 at the top left."""
    image, label = np.zeros((32, 48, 3), np.uint8), np.zeros((32, 48), np.uint8)
    image[:16, :, 0], image[16:, :, 2] = 200, 200
    label[2:10, 3:15] = 2
    table = ScoreTable(CLASSES["xlstm_endoscopy"][1:], FrameScoring())
    names = [f"frame{k}" for k in range(8)]
    for name in names:
        table.add(name, np.roll(label, 3, axis=1), label, (1, 1))
    return picture_data(tmp_path, "xlstm_endoscopy", dict.fromkeys(names, image), dict.fromkeys(names, label), table)


def test_pictures_of_frames_are_as_stored(frames):
    page = made(*frames)
    assert [attrs["alt"].partition(":")[0] for attrs in page.all("img")] == [f"frame{k}" for k in range(6)]
    png = matplotlib.image.imread(io.BytesIO(base64.b64decode(page.all("img")[0]["src"].partition(",")[2])))[..., :3]
    image, truth, prediction = (png[:, start : start + 480] for start in (0, 486, 972))
    assert png.shape == (320, 3 * 480 + 2 * 6, 3)
    np.testing.assert_allclose(image[40, 240], (200 / 255, 0, 0), atol=0.01)
    np.testing.assert_allclose(image[280, 240], (0, 0, 200 / 255), atol=0.01)
    rows, cols = np.nonzero(np.abs(truth - image).max(2) > 0.05)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == pytest.approx((20, 99, 30, 149), abs=2)
    np.testing.assert_array_equal(truth, prediction)


def test_further_cases_are_listed_without_pictures(frames):
    page = made(*frames)
    text = " ".join("".join(page.text).split())
    assert "2 more test cases without pictures frame6, frame7" in text
    assert len(made(*frames, "--cases", "1").all("img")) == 1
    assert not made(*frames, "--cases", "20").all("details")


def test_scores_of_frames_are_in_percent_and_pixels(frames, capsys):
    text = " ".join("".join(made(*frames).text).split())
    assert "Dice %HD95 pixelscases countedDice %NSD %Dice %NSD %" in text
    assert not re.search(r"\bmm\b|voxels", text)
    assert "prograsp forceps75.03.0875.0" in text
    assert "68.4370.01" in text
    assert re.search(r"^prograsp forceps +75\.0 +3\.0$", capsys.readouterr().out, re.MULTILINE)


def test_damaged_and_unlabelled_pictures(frames, capsys):
    data, output = frames
    (output / "predictions" / "frame0_pred.png").write_bytes(b"no picture")
    lists = json.loads((data / "datalist.json").read_text())
    del lists["test"][1]["label"]
    (data / "datalist.json").write_text(json.dumps(lists))
    text = " ".join("".join(made(data, output).text).split())
    assert re.search(r"no pictures of frame0: .*frame0_pred\.png", capsys.readouterr().out)
    assert "frame1 From left to right: image, prediction. frame2 From left to right: image, ground truth," in text


def test_cells_are_counted_and_their_labels_shown(tmp_path, capsys):
    instances = np.zeros((40, 40), np.uint16)
    instances[2:12, 2:12], instances[20:34, 20:34] = 1, 2
    table = ScoreTable(["cell"], InstanceScoring())
    table.add("a", np.where(instances == 2, 0, instances), instances, (1, 1))
    image = np.repeat((instances > 0)[..., None], 3, axis=2).astype(np.uint8) * 255
    label = np.asarray(interior_boundary(instances), np.uint8)
    text = " ".join(
        "".join(made(*picture_data(tmp_path, "xlstm_cells", {"a": image}, {"a": label}, table)).text).split()
    )
    assert "F1 %cases countedF1 %F1 %" in text
    assert "Mean66.766.760.36" in text
    assert "interior boundary" in text
    assert "Dice" not in text
    assert capsys.readouterr().out.splitlines()[:3] == ["Class  F1 %", "cell   66.7", "Mean   66.7"]


def test_organs_of_mri_have_nsd_and_published_means(tmp_path):
    names = CLASSES["xlstm_abdomen_mri_3d"][1:]
    table = ScoreTable(names, OrganScoring([3.0] * len(names)))
    table.add("a", np.full((3, 3, 3), 1), np.full((3, 3, 3), 1), (1, 1, 3))
    (tmp_path / "metrics.json").write_text(table.json())
    (tmp_path / "metrics.csv").write_text(table.csv())
    assert main(["report", "--output_dir", str(tmp_path)]) == 0
    text = " ".join("".join(Page((tmp_path / "report.html").read_text(encoding="utf-8")).text).split())
    assert "Dice %HD95 mmHD95 voxelscases countedDice %NSD %Dice %NSD %" in text
    assert "84.8391.53" in text


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.bundle)
def test_published_tables_agree_with_themselves_and_the_bundles(table):
    assert published_for(table.classes) is published_for(table.classes, table.bundle) is table
    assert published_for(table.classes, "another") is None
    assert published_for(["tumour"], table.bundle) is None
    if table.by_class:
        assert tuple(table.by_class) == table.classes
        assert np.mean([row["dice"] for row in table.by_class.values()]) == pytest.approx(table.mean["dice"], abs=0.005)
    readme = (ROOT / "bundles" / table.bundle / "docs" / "README.md").read_text(encoding="utf-8")
    for value in [*table.mean.values(), *(v for row in table.by_class.values() for v in row.values())]:
        assert f"{value:.2f}" in readme or f"{value / 100:.4f}" in readme


def test_every_bundle_has_a_published_table():
    assert [table.bundle for table in TABLES] == list(CLASSES)


def test_score_of_another_name_is_shown_as_it_is():
    (column,) = columns(["recall"])
    assert (column.heading, column.text(0.5), column.text(None)) == ("recall", "0.5", "–")


def test_scores_without_names_are_told(output, tmp_path, capsys):
    summary = json.loads((output / "metrics.json").read_text())
    del summary["scores"]
    (tmp_path / "metrics.json").write_text(json.dumps(summary))
    assert main(["report", "--output_dir", str(tmp_path)]) == 2
    assert "metrics.json does not name its scores: evaluate again" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["slices", "cases"])
def test_numbers_of_pictures_start_at_one(flag, output, capsys):
    assert main(["report", "--output_dir", str(output), f"--{flag}", "0"]) == 2
    assert f"--{flag} needs a whole number from 1 on, not 0" in capsys.readouterr().err


def test_wrong_dataset_is_told(run, output, tmp_path):
    done = run("report", "--output_dir", output, "--dataset_dir", tmp_path)
    assert done.returncode == 2
    assert "has no datalist.json: give the dataset_dir" in done.stderr
    assert done.stderr.count("\n") == 1
