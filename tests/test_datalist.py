"""The cases of a list, and of a fold."""

import json

import pytest
from monai.data import load_decathlon_datalist

from components.datalist import split_items


def written(folder, **lists):
    everything = {
        part: [{"image": f"{name}.nii", "label": f"{name}_l.nii", **more} for name, more in lists.get(part, {}).items()]
        for part in ("training", "validation", "test")
    }
    (folder / "datalist.json").write_text(json.dumps(everything))
    return str(folder)


def names(folder, split, fold=None):
    items = split_items(folder, split, fold)
    assert all(item.keys() == {"image", "label"} for item in items)
    return [item["image"].rpartition("/")[2].removesuffix(".nii") for item in items]


def test_items_are_those_that_monai_reads(tmp_path):
    (tmp_path / "instances").mkdir()
    (tmp_path / "instances" / "a.png").touch()
    item = {"image": ["images/../a_0.nii", "a_1.nii"], "label": "/elsewhere/a.nii", "instances": "instances/a.png"}
    lists = {"training": [item | {"modality": "CT", "weight": 2, "box": [1, 2]}], "test": ["t/ü.nii"], "validation": []}
    (tmp_path / "datalist.json").write_text(json.dumps(lists))
    for split in ("training", "test"):
        wanted = load_decathlon_datalist(str(tmp_path / "datalist.json"), True, split, str(tmp_path))
        assert split_items(str(tmp_path), split) == wanted
    assert split_items(str(tmp_path), "validation") == []


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "does not exist"), ("{", "is not valid JSON"), ('{"training": []}', "has no list test: it has training")],
)
def test_a_list_that_cannot_be_read_is_told(content, told, tmp_path):
    if content is not None:
        (tmp_path / "datalist.json").write_text(content)
    with pytest.raises(ValueError, match=rf"datalist\.json {told}"):
        split_items(str(tmp_path), "test")


FOLDS = {"a": {"fold": 0}, "b": {"fold": 1}, "c": {"fold": 0}, "always": {}}


def test_a_fold_holds_its_cases_out(tmp_path):
    folder = written(tmp_path, training=FOLDS, validation={"v": {}}, test={"t": {}})
    assert names(folder, "training", 0) == ["b", "always"]
    assert names(folder, "validation", 0) == names(folder, "test", 0) == ["a", "c"]
    assert names(folder, "training", 1) == ["a", "c", "always"]


def test_without_a_fold_the_lists_are_themselves(tmp_path):
    folder = written(tmp_path, training=FOLDS, validation={"v": {}}, test={"t": {}})
    assert [names(folder, split) for split in ("training", "validation", "test")] == [list(FOLDS), ["v"], ["t"]]
    assert names(written(tmp_path, training=FOLDS), "test") == []


def test_slices_are_validated_as_whole_volumes(tmp_path):
    slices = {"a_1": {"fold": 0}, "a_2": {"fold": 0}, "b_1": {"fold": 1}}
    folder = written(tmp_path, training=slices, validation={"a": {"fold": 0}, "b": {"fold": 1}, "v": {}})
    assert names(folder, "validation", 0) == names(folder, "test", 0) == ["a"]
    assert names(folder, "training", 0) == ["b_1"]
    assert names(folder, "validation") == ["v"]  # the others are among the slices


@pytest.mark.parametrize(
    ("items", "fold", "told"),
    [
        (FOLDS, 2, "has no fold 2: it has 0, 1"),
        ({"a": {}}, 0, "have no folds: `scanseg new … --folds 5` makes them"),
        ({"a": {"fold": 0}}, 0, "nothing is left to train on"),
        (FOLDS, (0, 1), "one number is needed"),
    ],
)
def test_folds_that_there_are_not(items, fold, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        split_items(written(tmp_path, training=items), "training", fold)
