"""Parts of the report: names that look like code, chosen cases, errors, agreement, records of runs."""

import json
import math

import numpy as np
import pytest

from scripts.cli import main
from scripts.report.agreement import Agreement
from scripts.report.charts import HEIGHT, LEFT, WIDTH, Mark, chart
from scripts.report.colours import ERRORS, rgb
from scripts.report.ranking import ranked
from scripts.report.volume import PLANES, Volume
from tests.scripts.report.report_pages import EVIL, Page, made, opened, volumes

RECORD = {
    "status": "finished",
    "error": "",
    "started": "2026-01-02T03:04:05+00:00",
    "ended": "2026-01-02T05:14:05+00:00",
    "seed": 7,
    "command": {
        "config_files": ["train.json", "demo.json"],
        "changes": [
            {"id": "max_epochs", "used": 10, "released": 300, "known": True, "by": "demo.json"},
            {"id": "same", "used": 1, "released": 1, "known": True, "by": "demo.json"},
            {"id": EVIL, "used": EVIL, "released": None, "known": True, "by": "command line"},
            {"id": "max_epoch", "used": 10, "released": None, "known": False, "by": "command line"},
        ],
    },
    "versions": {"python": "3.11.7", "components": "0.1.0", "torch": "2.13.0+cpu", "monai": "1.6.1"},
    "machine": {
        "system": "Linux",
        "cpu": "a CPU",
        "cpus": 8,
        "threads": 4,
        "device": "cuda",
        "gpu": "a GPU",
        "cuda": "13",
    },
    "network": {"name": "MSVMUNet", "parameters": 35925513},
    "amp": True,
    "processes": 2,
    "epoch": 5,
    "backends": {"mlstm": ["chunkwise"]},
}


def ramp(shape=(3, 4, 5)):
    """A volume whose prediction and ground truth are empty."""
    empty = np.zeros(shape, np.int16)
    return Volume(
        "a", np.arange(math.prod(shape)).reshape(shape).astype(np.uint8), empty, empty.copy(), (1.0, 2.0, 3.0)
    )


def test_names_that_look_like_code_are_shown(tmp_path):
    data, output = volumes(tmp_path, ["case"], [EVIL, "b"], caution=EVIL)
    (output / "history.csv").write_text(f"epoch,loss,learning_rate,seconds,{EVIL}\n1,1,1,1,0.5\n")
    (output / "training.json").write_text(json.dumps({**RECORD, "status": "failed", "error": EVIL}))
    page = made(data, output)
    assert page.raw.count("<img src=x") == 0
    assert not page.all("img", src="x")
    assert page.text.count(EVIL) > 8


def test_case_that_looks_like_code_has_pictures(tmp_path):
    name = "<img onerror=alert(1)>"
    data, output = volumes(tmp_path, [name, "b"], ["x"])
    page = made(data, output)
    assert page.all("figure", **{"data-name": name})
    assert not page.all("img", onerror="alert(1)")
    assert page.text.count(name) >= 2


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {"c": "median"}),
        (2, {"a": "best", "b": "worst"}),
        (3, {"a": "best", "c": "median", "b": "worst"}),
        (4, {"a": "rank 1 of 5", "d": "rank 2 of 5", "e": "rank 4 of 5", "b": "rank 5 of 5"}),
        (9, dict(zip("adceb", [f"rank {k} of 5" for k in range(1, 6)], strict=True))),
    ],
)
def test_ranks(count, expected):
    means = {"a": 0.9, "b": 0.5, "c": 0.7, "d": 0.8, "e": 0.6}
    found = ranked(means, count)
    assert found == expected
    assert ranked({}, count) == {}
    assert ranked({"only": 0.1}, count) == {"only": ""}


def test_planes_show_the_patient_from_the_front_and_the_left():
    volume = ramp()
    axial, coronal, sagittal = PLANES
    assert volume.cut(volume.image, axial, 1)[2, 3] == volume.image[2, 3, 1]
    # Rows from superior to inferior; columns to the patient's left, or to posterior.
    assert volume.cut(volume.image, coronal, 2)[0, 3] == volume.image[2, 3, 4]
    assert volume.cut(volume.image, sagittal, 3)[4, 1] == volume.image[1, 3, 0]
    assert [volume.pixel(plane) for plane in PLANES] == [(1, 2), (3, 2), (3, 1)]


def test_slices_are_spread_over_the_labelled_ones():
    volume = ramp((4, 4, 40))
    axial = PLANES[0]
    assert volume.slices(axial, 3) == [0, 20, 39]
    assert volume.fullest(axial, [0, 20, 39]) == 20
    volume.truth[1, 1, 10:31] = 1
    volume.prediction[2, 1:3, 12] = 1
    assert volume.slices(axial, 3) == [10, 20, 30]
    assert volume.slices(axial, 1) == [20]
    assert volume.slices(axial, 100) == list(range(10, 31))
    assert volume.fullest(axial, list(range(10, 31))) == 12


def test_kinds_of_errors():
    volume = ramp((1, 5, 1))
    volume.truth[0, :, 0] = [0, 1, 1, 1, 0]
    volume.prediction[0, :, 0] = [0, 1, 0, 2, 2]
    np.testing.assert_array_equal(volume.errors[0, :, 0], [0, 0, 2, 3, 1])
    with pytest.raises(ValueError, match="no ground truth"):
        _ = Volume("a", volume.image, None, volume.prediction, volume.spacing).errors


def test_errors_are_drawn_in_their_colours(tmp_path):
    page = made(*volumes(tmp_path, ["a"], ["x", "y"]))
    errors = [opened(address) for address in page.slices()[0]["layers"]["errors"]]
    seen = {tuple(colour[:3]) for array in errors for colour in array[array[..., 3] > 0]}
    assert seen == {rgb(ERRORS[kind][0]) for kind in ("false positive", "false negative")}


def test_pictures_without_ground_truth(tmp_path):
    data, output = volumes(tmp_path, ["a"], ["x"])
    (data / "datalist.json").write_text(json.dumps({"test": [{"image": "images/a.nii.gz"}]}))
    page = made(data, output)
    assert set(page.slices()[0]["layers"]) == {"image", "prediction"}
    assert len(page.all("img")) == 2 * 3


def test_number_of_slices_and_cases_is_bounded(tmp_path):
    data, output = volumes(tmp_path, ["a", "b", "c"], ["x"])
    page = made(data, output, "--slices", 2, "--cases", 2)
    assert [len(shown["numbers"]) for shown in page.slices()] == [2] * 6
    assert [a["data-name"] for a in page.all("figure", **{"class": "plane"})] == ["a"] * 3 + ["c"] * 3


def test_page_that_would_be_too_large(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("scripts.report.galleries.MOST", 1000)
    assert not made(*volumes(tmp_path, ["a"], ["x"])).slices()
    assert "no pictures of a: the page would be too large: lower --slices" in capsys.readouterr().out


def test_agreement_by_hand():
    """Differences 1, 3 and 5: mean 3, standard deviation 2."""
    found = Agreement("x", [("a", 10.0, 11.0), ("b", 20.0, 23.0), ("c", 30.0, 35.0)], "ml", "volume")
    assert found.bias == 3
    assert found.limits == pytest.approx((3 - 1.96 * 2, 3 + 1.96 * 2))
    assert [(mark.x, mark.y) for mark in found.chart.marks] == [(10.5, 1), (21.5, 3), (32.5, 5)]
    assert "bias +3, limits of agreement -0.92 to +6.92 ml" in found.chart.description
    assert Agreement("x", [("a", 1.0, 2.0)], "ml", "volume").limits is None


def test_agreement_of_volumes_on_the_page(tmp_path):
    data, output = volumes(tmp_path, ["a", "b", "c"], ["x", "y"])
    page = made(data, output)
    assert "Agreement of volumes" in page.text
    assert len(page.all("svg")) == 2
    assert "x3+0.00+0.00+0.00" in page.text
    rows = (output / "metrics.csv").read_text().splitlines()
    head = rows[0].split(",")
    cells = [dict(zip(head, row.split(","), strict=True)) for row in rows[1:]]
    assert {float(cell["truth_ml"]) for cell in cells} == {12 * 6 * 6 * 6 / 1000}


def test_chart_stays_within_its_axes():
    found = chart("t", "d", [Mark(3, -1, "c"), Mark(1, 5, "a"), Mark(2, 0, "b", best=True)], ("x", "y"), whole=True)
    assert [mark.text for mark in found.marks] == ["a", "b", "c"]
    for x, y, _ in found.shown:
        assert LEFT <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    assert {text for _, text in found.x.ticks} == {"1", "2", "3"}
    long = chart("t", "d", [Mark(k, k % 7, str(k), best=k == 501) for k in range(1000)], ("x", "y"))
    assert len(long.line.split()) == 1000
    assert len(long.shown) < 150
    assert any(mark.best for _, _, mark in long.shown)
    assert len(chart("t", "d", long.marks, ("x", "y"), joined=False).shown) == 1000
    assert chart("t", "d", [Mark(1, 0, "a")], ("x", "y")).shown


def test_record_of_a_training(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,loss,learning_rate,seconds\n1,1,1,1\n")
    (tmp_path / "training.json").write_text(json.dumps(RECORD))
    assert main(["report", "--output_dir", str(tmp_path)]) == 0
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    for fact in (
        "Took2 h 10 min",
        "Seed7",
        "MSVMUNet, 35,925,513 parameters",
        "Devicea GPU",
        "a CPU, 8 cores, 4 threads",
        "PyTorch2.13.0+cpu",
        "MONAI1.6.1",
        "components (scanseg)0.1.0",
        "Mixed precisionyes",
        "mlstm: chunkwise",
        "Went on after epoch5",
        "Configstrain.json, demo.json",
        "max_epochs 300 10 demo.json training",
        "unless another setting uses it): max_epoch.",
    ):
        assert fact.replace(" ", "") in text.replace(" ", ""), fact
    assert "same" not in text.split("Settings that are not")[1]
    assert "Incomplete" not in text


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("running", "The training has not ended, or its process was killed."),
        ("interrupted", "The training was interrupted."),
        ("failed", "The training failed: OutOfMemoryError: no room."),
    ],
)
def test_training_that_did_not_finish_is_told_first(tmp_path, status, told):
    (tmp_path / "history.csv").write_text("epoch,loss,learning_rate,seconds\n1,1,1,1\n")
    error = "OutOfMemoryError: no room" if status == "failed" else ""
    unknown = {**RECORD, "status": status, "error": error, "ended": None, "command": None, "seed": None}
    (tmp_path / "training.json").write_text(json.dumps(unknown))
    assert main(["report", "--output_dir", str(tmp_path)]) == 0
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert text.index(told) < text.index("Epochs trained")
    assert "Those of the training are not known" in text
    assert "Seed" in text
    assert "none set" in text
