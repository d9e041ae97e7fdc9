"""Conventions for empty masks and the table of cases and classes."""

import csv
import io
import json
import math

import numpy as np
import pytest
from medpy.metric import binary

from components.metrics import CONVENTIONS, ScoreTable, score

EMPTY, SOME = np.zeros((3, 4)), np.eye(3, 4)
NAMES = ["liver", "spleen", "stomach"]


@pytest.mark.parametrize(
    ("prediction", "truth", "strict_voxels", "strict_mm", "published"),
    [
        (EMPTY, SOME, (0, 5), (0, 10), (0, 0)),
        (SOME, EMPTY, (0, 5), (0, 10), (1, 0)),
        (EMPTY, EMPTY, (math.nan, math.nan), (math.nan, math.nan), (0, 0)),
        (SOME, SOME, (1, 0), (1, 0), (1, 0)),
    ],
    ids=["missed", "invented", "both empty", "both there"],
)
def test_conventions(prediction, truth, strict_voxels, strict_mm, published):
    assert score(prediction, truth, "strict") == pytest.approx(strict_voxels, nan_ok=True)
    assert score(prediction, truth, "strict", spacing=(2, 2)) == pytest.approx(strict_mm, nan_ok=True)
    assert score(prediction, truth, "published") == published


def test_unknown_convention_lists_the_names():
    with pytest.raises(ValueError, match="'lenient': choose one of strict, published"):
        score(SOME, SOME, "lenient")


@pytest.fixture
def table():
    """Two cases: spleen invented in the second, stomach in neither ground truth nor prediction of the second."""
    rng = np.random.default_rng(7)
    table = ScoreTable(NAMES)
    truth = np.kron(rng.integers(0, 4, (4, 4, 2)), np.ones((3, 3, 3), int))
    prediction = np.roll(truth, 1, axis=0)
    table.add("a", prediction, truth, (1.0, 1.0, 4.0))
    truth2, prediction2 = (truth == 1).astype(int), np.where(truth == 1, 1, 0)
    prediction2[0, 0, 0] = 2
    table.add("b", prediction2, truth2, (1.0, 1.0, 4.0))
    return table, prediction, truth


def test_rows_hold_the_scores_of_medpy(table):
    table, prediction, truth = table
    assert [(row["case"], row["class"]) for row in table.rows] == [(c, n) for c in "ab" for n in NAMES]
    for label, row in enumerate(table.rows[:3], start=1):
        p, t = prediction == label, truth == label
        assert row["strict_dice"] == row["published_dice"] == pytest.approx(binary.dc(p, t))
        assert row["strict_hd95_mm"] == pytest.approx(binary.hd95(p, t, (1, 1, 4)))
        assert row["strict_hd95_voxels"] == row["published_hd95_voxels"] == pytest.approx(binary.hd95(p, t))
        assert row["strict_jaccard"] == row["published_jaccard"] == pytest.approx(binary.jc(p, t))
        assert row["strict_asd_mm"] == pytest.approx(binary.asd(p, t, (1, 1, 4)))
        assert row["published_asd_voxels"] == pytest.approx(binary.asd(p, t))
        assert row["truth_ml"] == pytest.approx(t.sum() * 0.004)


def test_means_go_over_cases_then_classes(table):
    table, prediction, truth = table
    first = [binary.dc(prediction == k, truth == k) for k in (1, 2, 3)]
    summary = table.summary()
    means = {name: summary["classes"][name]["strict"]["dice"] for name in NAMES}
    diagonal = math.hypot(12, 12, 24)
    invented = table.rows[4]
    assert invented["strict_hd95_mm"] == invented["strict_asd_mm"] == pytest.approx(diagonal)
    assert (invented["strict_jaccard"], invented["published_jaccard"], invented["published_asd_voxels"]) == (0, 1, 0)
    assert means["spleen"] == pytest.approx(first[1] / 2)
    assert means["stomach"] == pytest.approx(first[2])  # absent from the second case, so not counted there
    assert summary["classes"]["stomach"]["strict"]["counted"] == 1
    assert summary["classes"]["spleen"]["published"]["dice"] == pytest.approx((first[1] + 1) / 2)
    assert summary["classes"]["stomach"]["published"]["dice"] == pytest.approx(first[2] / 2)
    assert summary["mean"]["strict"]["dice"] == pytest.approx(sum(means.values()) / 3)
    assert summary["cases"] == 2
    assert set(summary["conventions"]) == set(CONVENTIONS)


def test_csv_and_json_have_no_nan(table):
    table, *_ = table
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert len(rows) == 6
    assert rows[5]["strict_dice"] == ""
    assert float(rows[5]["published_dice"]) == 0
    assert json.loads(table.json(), parse_constant=pytest.fail) == table.summary()


def test_class_that_is_nowhere_has_no_mean():
    table = ScoreTable(["liver", "spleen"])
    table.add("a", SOME.astype(int), SOME.astype(int), (1, 1))
    assert table.summary()["classes"]["spleen"]["strict"] == {
        "dice": None, "hd95_mm": None, "hd95_voxels": None, "jaccard": None, "asd_mm": None, "counted": 0,
    }  # fmt: skip
    assert table.summary()["mean"]["strict"]["dice"] == 1


def test_merge_keeps_one_row_for_a_repeated_case(table):
    table, _, truth = table
    other = ScoreTable(NAMES)
    other.add("a", truth, truth, (1, 1, 1))
    other.add("c", truth, truth, (1, 1, 1))
    before = list(table.rows)
    table.merge(other.rows)
    assert table.rows[:6] == before
    assert table.cases == ["a", "b", "c"]


def test_wrong_input_says_what_to_do(table):
    table, prediction, truth = table
    with pytest.raises(ValueError, match="two cases are called 'a'"):
        table.add("a", prediction, truth, (1, 1, 1))
    with pytest.raises(ValueError, match=r"ground truth of 'x' has labels \[13\].*3 class names"):
        table.add("x", prediction, np.where(truth == 3, 13, truth), (1, 1, 1))
    with pytest.raises(ValueError, match="list of different names"):
        ScoreTable(["liver", "liver"])
    with pytest.raises(ValueError, match="list of different names"):
        ScoreTable("liver")


def test_ignored_voxels_are_in_no_score():
    table, free = (ScoreTable(["whole", "core"], regions=[[1, 2], [2]], ignore_label=3) for _ in range(2))
    rng = np.random.default_rng(3)
    prediction, truth = rng.integers(0, 3, (2, 8, 8))
    ignored = rng.random((8, 8)) < 0.4
    known = np.where(ignored, 3, truth)
    table.add("a", prediction, known, (1.0, 2.0))
    free.add("a", np.where(ignored, rng.integers(0, 3, (8, 8)), prediction), known, (1.0, 2.0))
    assert table.csv() == free.csv()
    for row, region in zip(table.rows, ([1, 2], [2]), strict=True):
        p, t = (np.isin(labels, region) & ~ignored for labels in (prediction, truth))
        assert row["strict_dice"] == pytest.approx(binary.dc(p, t))
        assert row["strict_hd95_mm"] == pytest.approx(binary.hd95(p, t, (1, 2)))
    with pytest.raises(ValueError, match=r"the ground truth of 'b' has labels \[4\], but the regions allow only"):
        table.add("b", prediction, known + 1, (1.0, 2.0))
