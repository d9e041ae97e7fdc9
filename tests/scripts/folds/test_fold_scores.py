"""The scores of all folds as one evaluation."""

import json
import re
import statistics
from typing import ClassVar

import numpy as np
import pytest

from components.metrics import LabelScoring
from scripts.cli import main
from scripts.errors import UserError
from scripts.folds.cases import fold_folders
from scripts.folds.scores import read_folds
from scripts.report.results import read_results
from tests.scripts.folds.cross_validation import write_folds


class WithinCases(LabelScoring):
    """The published mean is taken over the classes of a case first."""

    within_cases: ClassVar = ("published",)


@pytest.fixture
def crossed(tmp_path):
    """Three folds of seven small volumes of two classes, of which one case has no spleen; and the scores of all."""
    random = np.random.default_rng(0)
    folds = [{} for _ in range(3)]
    for number in range(7):
        truth = random.integers(0, 2 if number == 4 else 3, (6, 5, 4), np.uint8)
        prediction = np.where(random.random(truth.shape) < 0.3, 0, truth).astype(np.uint8)
        folds[number % 3][f"case{number}"] = truth, prediction
    whole = write_folds(tmp_path / "D", tmp_path / "O", folds, ["liver", "spleen"], WithinCases())
    return tmp_path, whole.summary()


def test_all_folds_are_one_evaluation(crossed, capsys):
    folder, whole = crossed
    assert main(["report", "--output_dir", str(folder / "O"), "--dataset_dir", str(folder / "D")]) == 0
    made = folder / "O" / "out_of_fold"
    found = json.loads((made / "metrics.json").read_text())
    assert found["cases"] == 7
    for convention in ("strict", "published"):
        assert found["mean"][convention] == pytest.approx(whole["mean"][convention], abs=1e-5)
        assert found["classes"]["spleen"][convention] == pytest.approx(whole["classes"]["spleen"][convention], abs=1e-5)
    means = [
        json.loads((folder / "O" / f"fold_{fold}" / "metrics.json").read_text())["mean"]["strict"]["dice"]
        for fold in range(3)
    ]
    assert [found["folds"][str(fold)]["dice"] for fold in range(3)] == means
    assert [found["folds"][str(fold)]["cases"] for fold in range(3)] == [3, 2, 2]
    assert found["deviation"]["dice"] == pytest.approx(statistics.stdev(means))
    page = (made / "report.html").read_text()
    assert all(f"case{number}" in page for number in range(7))
    assert page.count("<img") > 3  # of the predictions in the folders of the folds
    told = capsys.readouterr().out
    assert re.search(rf"deviation +{100 * found['deviation']['dice']:.1f} ", told)


def test_the_page_of_one_fold_shows_its_cases(crossed):
    folder, _ = crossed
    fold = folder / "O" / "fold_1"
    changes = [{"id": "fold", "used": 1, "released": None, "known": True, "by": "command line"}]
    (fold / "evaluation.json").write_text(json.dumps({"command": {"changes": changes}}))
    assert [(case.name, case.prediction) for case in read_results(fold, folder / "D").cases] == [
        (f"case{number}", fold / "predictions" / f"case{number}_pred.nii.gz") for number in (1, 4)
    ]


def test_a_case_that_a_network_has_seen_is_refused(crossed):
    folder, _ = crossed
    lists = json.loads((folder / "D" / "datalist.json").read_text())
    lists["training"][0]["fold"] = 1
    (folder / "D" / "datalist.json").write_text(json.dumps(lists))
    with pytest.raises(UserError, match=r"fold_0/metrics\.csv has case0, which is not held out of fold 0"):
        read_folds(folder / "O", folder / "D")


def test_a_case_in_two_folds_is_refused(crossed):
    folder, _ = crossed
    path = folder / "O" / "fold_1" / "metrics.csv"
    path.write_text(path.read_text().replace("case1", "case0"))
    with pytest.raises(UserError, match=r"case0 is in .*fold_0 and in .*fold_1"):
        read_folds(folder / "O")


def test_no_folds(tmp_path):
    assert fold_folders(tmp_path / "nowhere") == {}
    with pytest.raises(UserError, match="has no scores of folds"):
        read_folds(tmp_path)
