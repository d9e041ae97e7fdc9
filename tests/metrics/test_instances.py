"""F1 of instances against the Hungarian method on the dense matrix of overlaps, and scikit-image's border rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from skimage import measure
from skimage.segmentation import clear_border

from components.metrics import InstanceScoring, ScoreTable, count_matches, drop_border


def random_instances(seed, shape=(18, 15), number=9):
    """Boxes that hide parts of one another, with numbers that have gaps."""
    rng = np.random.default_rng(seed)
    instances = np.zeros(shape, int)
    for name in rng.choice(40, number, replace=False):
        start = [rng.integers(0, n - 2) for n in shape]
        instances[tuple(slice(s, s + rng.integers(2, 8)) for s in start)] = name
    return instances


def hungarian(prediction, truth, iou):
    names_p, names_t = (np.setdiff1d(np.unique(m), 0) for m in (prediction, truth))
    matrix = np.array([
        [((prediction == p) & (truth == t)).sum() / ((prediction == p) | (truth == t)).sum() for p in names_p]
        for t in names_t
    ]).reshape(len(names_t), len(names_p))  # fmt: skip
    rows, columns = linear_sum_assignment(matrix >= iou, maximize=True)
    return int((matrix[rows, columns] >= iou).sum()), len(names_p), len(names_t)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20), shift=st.integers(0, 3), iou=st.sampled_from([0.2, 0.5, 0.7]))
def test_agrees_with_the_hungarian_method(seed, shift, iou):
    truth = random_instances(seed)
    prediction = np.roll(np.where(truth, 50 - truth, 0), shift, axis=0)
    assert count_matches(prediction, truth, iou) == hungarian(prediction, truth, iou)


def test_iou_of_one_half_is_a_match_but_only_once():
    truth = np.array([[1, 1, 1, 1]])
    prediction = np.array([[2, 2, 3, 3]])
    assert count_matches(prediction, truth) == (1, 2, 1)
    assert count_matches(prediction, truth, iou=0.51) == (0, 2, 1)


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_border_rule_agrees_with_skimage(seed, width):
    instances = measure.label(random_instances(seed))  # scikit-image takes pieces of one instance for several
    np.testing.assert_array_equal(drop_border(instances, width), clear_border(instances, buffer_size=width - 1))


def test_without_border_all_are_kept():
    instances = random_instances(0)
    np.testing.assert_array_equal(drop_border(instances, 0), instances)


def squares(shape, side=6, gap=4):
    """Squares in a regular grid, the first row and column at the border."""
    instances = np.zeros(shape, int)
    for name, corner in enumerate(np.ndindex(*(n // (side + gap) for n in shape)), start=1):
        instances[tuple(slice(c * (side + gap), c * (side + gap) + side) for c in corner)] = name
    return instances


def test_published_score_leaves_out_the_frame():
    truth = squares((40, 40))
    prediction = np.where(truth > 12, 0, truth)  # misses the last row of four
    prediction[truth == 6] = 0
    scores = InstanceScoring().score(prediction, truth, 1, (1, 1))
    assert scores["strict_f1"] == pytest.approx(2 * 11 / (11 + 16))
    assert scores["published_f1"] == pytest.approx(2 * 5 / (5 + 9))  # 3 × 3 inside: one of them and a row missed
    assert (scores["truth_instances"], scores["prediction_instances"]) == (16, 11)


def test_large_images_are_scored_in_tiles():
    """Tiles of 30 in an image of 70 × 40: squares on a border between tiles and at the start of each are dropped."""
    truth = squares((70, 40))
    prediction = truth.copy()
    prediction[truth == 6] = 0
    tiled = InstanceScoring(tile=30, tiled_from=2800).score(prediction, truth, 1, (1, 1))
    whole = InstanceScoring(tile=30, tiled_from=2801).score(prediction, truth, 1, (1, 1))
    padded_p, padded_t = (np.pad(m, [(0, 20), (0, 20)]) for m in (prediction, truth))
    counts = [
        hungarian(*(clear_border(m[r : r + 30, c : c + 30], buffer_size=1) for m in (padded_p, padded_t)), 0.5)
        for r in (0, 30, 60)
        for c in (0, 30)
    ]
    matched, predicted, present = np.sum(counts, axis=0)
    assert present < 18
    assert tiled["published_f1"] == pytest.approx(2 * matched / (predicted + present))
    assert whole["published_f1"] == pytest.approx(2 * 17 / (17 + 18))  # 6 × 3 inside
    assert tiled["strict_f1"] == whole["strict_f1"]


def test_empty_images():
    some, none = squares((40, 40)), np.zeros((40, 40), int)
    scoring = InstanceScoring()
    assert np.isnan(scoring.score(none, none, 1, (1, 1))["strict_f1"])
    assert scoring.score(none, none, 1, (1, 1))["published_f1"] == 0
    for maps in ((some, none), (none, some)):
        scores = scoring.score(*maps, 1, (1, 1))
        assert scores["strict_f1"] == scores["published_f1"] == 0


def test_table_of_instances():
    table = ScoreTable(["cell"], InstanceScoring())
    truth = squares((40, 40)) + 1000 * (squares((40, 40)) > 0)
    table.add("a", truth, truth, (1.0, 1.0))
    table.add("b", np.zeros_like(truth), truth, (1.0, 1.0))
    assert table.summary()["mean"] == {"strict": {"f1": 0.5}, "published": {"f1": 0.5}}
    assert table.summary()["classes"]["cell"]["strict"]["counted"] == 2
    assert table.csv().splitlines() == [
        "case,class,strict_f1,published_f1,truth_instances,prediction_instances",
        "a,cell,1,1,16,16",
        "b,cell,0,0,16,0",
    ]
    with pytest.raises(ValueError, match="one class"):
        ScoreTable(["cell", "nucleus"], InstanceScoring())


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"shape \(2, 2\), the reference \(2, 3\)"):
        count_matches(np.ones((2, 2), int), np.ones((2, 3), int))
