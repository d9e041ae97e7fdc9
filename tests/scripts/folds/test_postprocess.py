"""Largest components: where they are kept, and that they then are."""

import json
import shutil

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from skimage.measure import label as components_of

from scripts.bundle.inference import InferenceBundle
from scripts.cli import main
from scripts.folds.largest import largest
from scripts.folds.postprocess import LARGEST
from tests.bundles.workflow import ROOT
from tests.scripts.folds.cross_validation import write_folds

CLASSES = ["anterior", "posterior"]


def volume(*boxes):
    array = np.zeros((12, 10, 8), np.uint8)
    for number, first, last in boxes:
        array[tuple(map(slice, first, last))] = number
    return array


NEAR = (1, (1, 1, 1), (5, 5, 5)), (2, (5, 1, 1), (8, 5, 5))  # two classes that touch
FAR = (1, (1, 1, 1), (5, 5, 5)), (2, (9, 6, 1), (11, 9, 5))  # two that do not
ISLANDS = {number: (number, (10, 0, 6), (12, 2, 8)) for number in (1, 2)}


@pytest.fixture
def bundle(tmp_path):
    """A bundle of one's own."""
    return shutil.copytree(ROOT / "bundles" / "xlstm_hippocampus_mri_3d", tmp_path / "mine")


def kept(bundle, file):
    config = json.loads((bundle / "configs" / file).read_text())
    chain = (config["validate"] if file == "evaluate.json" else config)["postprocessing"]["transforms"]
    names = [step["_target_"] for step in chain]
    assert all(n < names.index("SaveImaged") for n, name in enumerate(names) if name == LARGEST)
    return [step["applied_labels"] for step in chain if step["_target_"] == LARGEST]


@pytest.mark.parametrize(
    ("truth", "islands", "wanted"),
    [
        (NEAR, [1, 2], [[1, 2]]),  # afterwards there is nothing left to improve in a class
        (FAR, [1], [[1]]),  # all classes together would lose the second one
        (FAR, [1, 2], [[1], [2]]),
        (FAR, [], []),
    ],
)
def test_what_improves_the_folds_is_taken(truth, islands, wanted, bundle, tmp_path, capsys):
    predicted = volume(*truth, *(ISLANDS[number] for number in islands[:1]))
    other = volume(*truth, *(ISLANDS[number] for number in islands[1:]))
    folds = [{"a": (volume(*truth), predicted)}, {"b": (volume(*truth), other)}]
    write_folds(tmp_path / "D", tmp_path / "O", folds, CLASSES)
    line = ["postprocess", str(bundle), "--dataset_dir", str(tmp_path / "D"), "--output_dir", str(tmp_path / "O")]
    assert main(line) == 0
    assert capsys.readouterr().out.count("taken") == len(wanted)
    assert kept(bundle, "inference.json") == kept(bundle, "evaluate.json") == wanted
    assert main(line) == 0  # decided from the folds, whose maps do not change
    assert kept(bundle, "inference.json") == wanted

    opened = InferenceBundle(bundle)
    steps = [step for step in opened.get("postprocessing").transforms if type(step).__name__ == LARGEST]
    assert len(steps) == len(wanted)
    labels = MetaTensor(torch.as_tensor(predicted[None]).float())
    for step in steps:
        labels = step({"pred": labels})["pred"]
    if wanted:
        assert np.array_equal(labels[0].numpy(), volume(*truth))


def test_regions_are_looked_at_one_after_the_other(bundle, tmp_path, capsys):
    path = bundle / "configs/evaluate.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"regions": [[1, 2], [2]]}))
    whole, core = (1, (1, 1, 1), (7, 6, 6)), (2, (2, 2, 2), (4, 4, 5))
    inner = (2, (5, 3, 3), (6, 4, 4))  # which the core loses, and the whole with it
    folds = [{n: (volume(whole, core), volume(whole, core, inner, ISLANDS[1]))} for n in "ab"]
    write_folds(tmp_path / "D", tmp_path / "O", folds, ["whole", "core"])
    line = ["postprocess", str(bundle), "--dataset_dir", str(tmp_path / "D"), "--output_dir", str(tmp_path / "O")]
    assert main(line) == 0
    assert kept(bundle, "inference.json") == kept(bundle, "evaluate.json") == [[1, 2], [2]]
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[-1] for row in rows if row[0] in ("all", "whole", "core")] == ["taken", "left", "taken"]
    (before,) = (float(row[1]) for row in rows if row[0] == "whole")
    assert before == 100  # the island is gone already


def test_the_largest_component_is_that_of_scikit_image():
    labels = np.random.default_rng(0).integers(0, 4, (9, 8, 7)) % 3
    found = components_of(np.isin(labels, [1, 2]), connectivity=3)
    wanted = np.where(found == np.bincount(found[found > 0]).argmax(), labels, 0)
    assert np.array_equal(largest(labels, [1, 2]), wanted)


@pytest.mark.parametrize(
    ("name", "told"),
    [("msvm_synapse", "has the postprocessing of its paper"), ("mine", "label maps are missing")],
)
def test_mistakes(name, told, bundle, tmp_path, capsys):
    write_folds(tmp_path / "D", tmp_path / "O", [{"a": (volume(), volume())}, {"b": (volume(), volume())}], CLASSES)
    shutil.rmtree(tmp_path / "O" / "fold_1" / "predictions")
    target = bundle if name == "mine" else name
    assert (
        main(["postprocess", str(target), "--dataset_dir", str(tmp_path / "D"), "--output_dir", str(tmp_path / "O")])
        == 2
    )
    assert told in capsys.readouterr().err
