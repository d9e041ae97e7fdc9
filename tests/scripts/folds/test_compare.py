"""Bundles side by side, and pairs of them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from scripts.cli import main
from scripts.folds import pairs
from scripts.predict.predictor import Prediction
from tests.bundles.workflow import ROOT
from tests.scripts.folds.cross_validation import AFFINE, write_folds

CLASSES = ["anterior", "posterior"]
SLICES = {"one": slice(0, 2), "two": slice(3, 4)}


class Wrong:
    """A predictor that is sure of the truth but in its own slices, of which it says that they are background."""

    def __init__(self, root, device=None, folds=None, override=None):
        self.name = root.name
        assert override in ({}, {"ckpt_dir": str(Path("W") / root.name)})

    def __call__(self, image, probabilities=False):
        assert [path.name for path in image.files] == [f"{image.name}.nii.gz", f"{image.name}_2.nii.gz"]
        truth = TRUTHS[image.name]
        chances = 0.8 * np.eye(3, dtype=np.float32)[truth]
        slices = SLICES[self.name]
        chances[slices] = [0.4, 0.3, 0.3]
        return Prediction({}, {}, AFFINE, np.moveaxis(chances, -1, 0))


TRUTHS = {name: np.random.default_rng(n).integers(0, 3, (6, 5, 4), np.uint8) for n, name in enumerate("abc")}


@pytest.fixture
def line(tmp_path, monkeypatch):
    """A command line for two bundles that are wrong at different places."""
    monkeypatch.setattr(pairs, "Predictor", Wrong)
    for name, slices in SLICES.items():
        shutil.copytree(ROOT / "bundles" / "xlstm_hippocampus_mri_3d" / "configs", tmp_path / name / "configs")
        folds = [{}, {}]
        for n, (case, truth) in enumerate(TRUTHS.items()):
            prediction = truth.copy()
            prediction[slices] = 0
            folds[n % 2][case] = truth, prediction
        write_folds(tmp_path / "D", tmp_path / "O" / name, folds, CLASSES)
    path = tmp_path / "D/datalist.json"
    lists = json.loads(path.read_text())
    for item in lists["training"]:
        item["image"] = [item["image"], item["image"].replace(".nii", "_2.nii")]
    path.write_text(json.dumps(lists))
    bundles = [str(tmp_path / name) for name in SLICES]
    return ["compare", *bundles, "--dataset_dir", str(tmp_path / "D"), "--output_dir", str(tmp_path / "O")]


def test_the_pair_is_best_where_each_mends_the_other(line, capsys):
    assert main(line) == 0
    told = capsys.readouterr().out
    assert "best: one + two" in told, told
    assert re.search(r"one \+ two +100\.00", told)  # 0.8 of one against 0.4 of the other
    assert told.count("--save_probabilities") == 2
    assert "fold 1" in told
    assert main([*line, "--ckpt_dir", "W"]) == 0
    assert "--override \"{'ckpt_dir': 'W/two'}\" --save_probabilities" in capsys.readouterr().out


def test_without_pairs_the_better_one_is_best(line, capsys):
    assert main([*line, "--nopairs"]) == 0
    told = capsys.readouterr().out
    assert "best: two" in told
    assert "one + two" not in told


def test_other_cases_are_refused(line, tmp_path, capsys):
    path = tmp_path / "O" / "two" / "fold_0"
    shutil.rmtree(path)
    assert main(line) == 2
    assert "was scored by one of one and two only" in capsys.readouterr().err
    assert main(line[:2]) == 2
    assert "compare needs 2 bundles" in capsys.readouterr().err
