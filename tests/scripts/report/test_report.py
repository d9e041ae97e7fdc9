"""The report on a small fabricated evaluation."""

import json
import re
from pathlib import Path

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest

from components.metrics import FrameScoring, InstanceScoring, OrganScoring, ScoreTable
from components.transforms.instances import interior_boundary
from scripts.cli import main
from scripts.data.labels import CLASSES
from scripts.report.colours import colour, rgb
from scripts.report.published import TABLES, published_for
from scripts.report.scores import columns
from tests.scripts.report.report_pages import Page, made, opened, pictures

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def output(ct_sample, tmp_path_factory):
    """An output folder whose prediction is the ground truth, moved by a voxel and without gallbladder."""
    folder = tmp_path_factory.mktemp("output")
    (folder / "predictions").mkdir()
    names = [*json.loads((ct_sample / "dataset.json").read_text(encoding="utf-8"))["labels"].values()][1:]
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
    assert re.search(rf"\n{output / 'report.html'} \(0\.\d MB\) is ready\n$", done.stdout)
    return Page((output / "report.html").read_text(encoding="utf-8"))


def test_page_needs_nothing_from_outside(page):
    addresses = [attrs[key] for _, attrs in page.tags for key in ("src", "href", "srcset", "data") if key in attrs]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"@import|<iframe|url\(|fetch\(|XMLHttp|WebSocket|sendBeacon|https?://", page.raw)
    assert len(page.raw) < 1_000_000


def test_slices_of_three_planes(page):
    planes = page.all("figure", **{"class": "plane"})
    assert [(plane["data-plane"], plane["data-total"]) for plane in planes] == [
        ("axial", "14"), ("coronal", "101"), ("sagittal", "122"),
    ]  # fmt: skip
    assert [len(shown["numbers"]) for shown in page.slices()] == [13, 16, 16]
    for attrs in page.all("img", **{"class": "image"}):
        pattern = r"ct_test, (axial|coronal|sagittal) slice \d+ of \d+: (ground truth|prediction|errors) over the image"
        assert re.fullmatch(pattern, attrs["alt"])
    assert [attrs["alt"] for attrs in page.all("img", **{"class": "layer"})] == [""] * 9
    for slider, shown in zip(page.all("input", type="range"), page.slices(), strict=True):
        assert (slider["min"], slider["max"]) == ("0", str(len(shown["numbers"]) - 1))
        first = f"{shown['numbers'][int(slider['value'])] + 1} of "
        assert slider["aria-valuetext"].startswith(first)
        assert set(shown["layers"]) == {"image", "truth", "prediction", "errors"}


def test_pictures_are_real(page):
    shown = page.slices()[0]
    layers = {name: [opened(address) for address in found] for name, found in shown["layers"].items()}
    assert all(max(array.shape) == 256 for found in layers.values() for array in found)
    assert np.std(layers["image"][0][..., 0]) > 20
    assert np.ptp(layers["image"][0][..., :3], axis=2).max() < 12  # grey, but for the compression
    for name in ("truth", "prediction", "errors"):
        assert any(array[..., 3].any() for array in layers[name])
    # Without gallbladder in the prediction, its colour is only in the ground truth.
    green = [(array == (*rgb(colour(2)), 255)).all(2).any() for array in layers["truth"] + layers["prediction"]]
    assert any(green[: len(shown["numbers"])])
    assert not any(green[len(shown["numbers"]) :])


def test_curves_are_described_and_escaped(page):
    described = [attrs["aria-label"] for attrs in page.all("svg")]
    assert [text.partition(":")[0] for text in described] == ["Training loss", "Validation", "Learning rate"]
    assert "lowest 0.1667, highest 1." in described[0]
    assert "<mean> dice: 0.2 at epoch 2, 0.6 at epoch 6" in described[1]
    assert [attrs["data-text"] for attrs in page.all("circle", **{"class": "mark best"})] == [
        "epoch 6: 0.6, the highest"
    ]
    assert "<mean>" not in page.raw


def test_links_and_names_within_the_page(page):
    identifiers = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(set(identifiers)) == len(identifiers)
    links = {attrs["href"] for _, attrs in page.tags if attrs.get("href", "").startswith("#")}
    assert {link.lstrip("#") for link in links} <= set(identifiers)
    assert {attrs["aria-labelledby"] for attrs in page.all("section")} <= set(identifiers)


def test_tables_hold_the_scores_and_the_paper(page, output):
    summary = json.loads((output / "metrics.json").read_text())
    text = page.text
    for scores in summary["classes"].values():
        assert f"{100 * scores['strict']['dice']:.1f}" in text
        assert f"{scores['strict']['hd95_mm']:.1f}" in text
    for number in ("88.73", "74.90", "85.62", "84.47", "95.74", "71.53", "92.52", "86.51", "85.00", "14.75"):
        assert number in text
    assert "arXiv 2408.13735" in text
    for convention in summary["conventions"].values():
        assert convention in text


def test_page_says_first_that_it_is_a_demonstration(page):
    text = page.text
    assert text.index("A demonstration.") < text.index("Mean Dice")
    assert "same patient" in text
    assert "not drawn by a reader" in text


def test_page_is_for_phones_and_for_the_dark(page, output):
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert "prefers-color-scheme: dark" in (output / "report.html").read_text(encoding="utf-8")
    assert page.all("html") == [{"lang": "en"}]
    assert all(len(page.all(tag)) == 1 for tag in ("main", "header", "footer", "h1", "nav"))
    assert all("scope" in attrs for attrs in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attrs["aria-label"] for attrs in page.all("div", role="region"))
    assert "prefers-reduced-motion" in page.raw
    assert "@media print" in page.raw


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
    assert len(page.all("table")) == 1  # the curves
    assert page.all("img") == []
    assert "Epochs trained6" in page.text


def test_missing_or_wrong_prediction_is_told_not_hidden(run, output, ct_sample, tmp_path):
    (tmp_path / "metrics.json").write_text((output / "metrics.json").read_text())
    done = run("report", "--output_dir", tmp_path, "--dataset_dir", ct_sample)
    assert done.returncode == 0
    assert "no pictures of ct_test: there is no" in done.stdout
    assert "run inferring first" in Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
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
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "tumour & <oedema>" in text
    assert "Paper" not in text


def test_scores_are_printed_as_an_aligned_table(output, capsys):
    assert main(["report", "--output_dir", str(output)]) == 0
    *lines, ready = capsys.readouterr().out.splitlines()
    summary = json.loads((output / "metrics.json").read_text())
    rows = [*summary["classes"].items(), ("Mean", summary["mean"])]
    assert len({len(line) for line in lines}) == 1
    assert re.split("  +", lines[0])[:3] == ["Class", "Dice %", "HD95 mm"]
    assert [re.split("  +", line)[:3] for line in lines[1:]] == [
        [name, f"{100 * row['strict']['dice']:.1f}", f"{row['strict']['hd95_mm']:.1f}"] for name, row in rows
    ]
    assert re.fullmatch(rf"{output / 'report.html'} \(0\.\d MB\) is ready", ready)


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
    return pictures(tmp_path, "xlstm_endoscopy", dict.fromkeys(names, image), dict.fromkeys(names, label), table)


def test_pictures_of_frames_are_as_stored(frames):
    page = made(*frames)
    (image, *_) = (opened(attrs["src"]) for attrs in page.all("img", **{"class": "image"}))
    truth, prediction, errors = (
        opened(page.all("img", **{"data-layer": name})[0]["src"]) for name in ("truth", "prediction", "errors")
    )
    assert image.shape == (341, 512, 4)
    np.testing.assert_allclose(image[40, 240], (200, 0, 0, 255), atol=12)
    np.testing.assert_allclose(image[300, 240], (0, 0, 200, 255), atol=12)
    rows, cols = np.nonzero(truth[..., 3])
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == pytest.approx((21, 106, 32, 159), abs=1)
    np.testing.assert_array_equal(truth, prediction)
    assert not errors[..., 3].any()
    assert page.slices() == []


def test_best_median_and_worst_of_frames(frames):
    page = made(*frames)
    assert re.findall(r"(best|median|worst) (frame\d) mean Dice", page.text) == [
        ("best", "frame0"), ("median", "frame4"), ("worst", "frame7"),
    ]  # fmt: skip
    assert "5 more test cases without pictures frame1, frame2" in page.text
    assert len(made(*frames, "--cases", "1").all("article")) == 1
    assert not made(*frames, "--cases", "20").text.count("more test case")


def test_scores_of_frames_are_in_percent_and_pixels(frames, capsys):
    page = made(*frames)
    text = page.text
    assert page.in_a_row("Dice %", "HD95 pixels")
    assert not re.search(r"\bmm\b|voxels", text)
    assert page.in_a_row("prograsp forceps", "75.0", "3.0")
    assert page.in_a_row("68.43", "70.01")
    assert "Agreement of areas" in text
    assert page.in_a_row("prograsp forceps", "8", "+0.00", "+0.00", "+0.00")
    assert re.search(r"^prograsp forceps +75\.0 +3\.0 +60\.0$", capsys.readouterr().out, re.MULTILINE)


def test_damaged_and_unlabelled_pictures(frames, capsys):
    data, output = frames
    (output / "predictions" / "frame0_pred.png").write_bytes(b"no picture")
    lists = json.loads((data / "datalist.json").read_text())
    del lists["test"][1]["label"]
    (data / "datalist.json").write_text(json.dumps(lists))
    text = made(data, output).text
    assert re.search(r"no pictures of frame0: .*frame0_pred\.png", capsys.readouterr().out)
    assert "No pictures: " in text


def test_cells_are_counted_and_their_labels_shown(tmp_path, capsys):
    instances = np.zeros((40, 40), np.uint16)
    instances[2:12, 2:12], instances[20:34, 20:34] = 1, 2
    table = ScoreTable(["cell"], InstanceScoring())
    table.add("a", np.where(instances == 2, 0, instances), instances, (1, 1))
    image = np.repeat((instances > 0)[..., None], 3, axis=2).astype(np.uint8) * 255
    label = np.asarray(interior_boundary(instances), np.uint8)
    page = made(*pictures(tmp_path, "xlstm_cells", {"a": image}, {"a": label}, table))
    text = page.text
    assert page.in_a_row("F1 %", "cases counted", "F1 %", "F1 %")
    assert page.in_a_row("Mean", "66.7", "", "66.7", "60.36")
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
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.in_a_row("Dice %", "HD95 mm", "HD95 voxels")
    assert page.in_a_row("84.83", "91.53")


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
    own = ["xlstm_hippocampus_mri_3d", "xlstm_nuclei"]  # trained here: no paper has scores of them
    assert [table.bundle for table in TABLES] == [bundle for bundle in CLASSES if bundle not in own]


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
