"""Training, validation and test."""

import json
from collections import Counter
from pathlib import Path

import pytest

from scripts.errors import UserError
from scripts.new.own_data import Source, Sources
from scripts.new.split import split


def sources(names, test=(), **changes):
    cases = [Source(name, "train", (Path(name),), Path(name)) for name in names]
    cases += [Source(name, "test", (Path(name),), Path(name)) for name in test]
    return Sources(Path("data"), "a layout", tuple(cases), None, **changes)


def parts(found):
    lists = {"training": set(), "validation": set(), "test": set()}
    for case in found:
        lists[case.part].add(case.name)
    return lists


NAMES = [f"case{number:03d}" for number in range(50)]


def test_a_fifth_is_for_the_test_and_a_fifth_of_the_rest_for_validation():
    cases, words = split(sources(NAMES), seed=1)
    lists = parts(cases)
    assert [len(lists[part]) for part in ("training", "validation", "test")] == [32, 8, 10]
    assert set().union(*lists.values()) == set(NAMES)
    assert words == ("Test: a random fifth of the cases. Validation: a random fifth of the other cases, seed 1.")
    assert [case.name for case in cases] == [name for part in lists for name in sorted(lists[part])]


def test_test_cases_of_the_data_set_stay_apart():
    cases, words = split(sources(NAMES, test=["x1", "x2"]), seed=1)
    lists = parts(cases)
    assert lists["test"] == {"x1", "x2"}
    assert len(lists["validation"]) == 10
    assert words.startswith("Test: the cases of imagesTs.")


def test_the_seed_decides():
    first, again, other = (parts(split(sources(NAMES), seed)[0]) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert parts(split(sources(NAMES[::-1]), 7)[0]) == first


def test_groups_stay_together():
    names = [f"patient{patient:02d}_frame{frame}" for patient in range(10) for frame in range(3)]
    lists = parts(split(sources(names), 3, r"patient\d+")[0])
    patients = {part: {name.partition("_")[0] for name in found} for part, found in lists.items()}
    assert [len(patients[part]) for part in ("training", "validation", "test")] == [6, 2, 2]
    assert not patients["training"] & patients["test"]
    assert not patients["training"] & patients["validation"]
    assert all(len(lists[part]) == 3 * len(patients[part]) for part in lists)


def test_each_kind_of_image_is_divided_by_itself():
    looks = {name: "colour on bright" if number < 10 else "grey on dark" for number, name in enumerate(NAMES)}
    for seed in range(5):
        cases, words = split(sources(NAMES), seed, looks=looks)
        coloured = {part: sum(looks[name][0] == "c" for name in names) for part, names in parts(cases).items()}
        assert coloured == {"training": 6, "validation": 2, "test": 2}
    assert "Each kind of image (colour on bright, grey on dark) is divided by itself." in words
    one = split(sources(NAMES), 1, looks=dict.fromkeys(NAMES, "grey on dark"))
    assert one == split(sources(NAMES), 1)


@pytest.mark.parametrize(
    ("names", "test", "group", "told"),
    [
        (
            ["a", "b"],
            [],
            None,
            "2 cases are too few to divide: 3 are needed, one each for training, validation and test",
        ),
        (["a"], ["t"], None, "1 cases are too few to divide: 2 are needed"),
        (["p1_a", "p1_b", "p2_a"], [], r"p\d", "2 groups are too few"),
        (["p1_a", "p2_a", "p3_a"], ["p1_b"], r"p\d", "'p1' is both in training and in the test set"),
        (["p1", "q"], [], r"p\d", "finds nothing in 'q'"),
        (["a"], [], "(", "is not a regular expression"),
    ],
)
def test_what_cannot_be_divided_is_told(names, test, group, told):
    with pytest.raises(UserError, match=told.replace("(", r"\(")):
        split(sources(names, test), 1, group)


def test_folds_take_the_place_of_validation():
    cases, words = split(sources(NAMES), seed=1, folds=5)
    folds = {number: {case.name for case in cases if case.fold == number} for number in range(5)}
    assert [len(folds[number]) for number in folds] == [8] * 5
    assert set().union(*folds.values()) == parts(cases)["training"]
    assert parts(cases)["validation"] == set()
    assert parts(cases)["test"] == parts(split(sources(NAMES), seed=1)[0])["test"]
    assert words == "Test: a random fifth of the cases. Folds: the other cases in 5, seed 1."


def test_groups_and_kinds_in_folds():
    names = [f"patient{patient:02d}_frame{frame}" for patient in range(20) for frame in range(3)]
    looks = {name: "grey" if "patient0" in name else "colour" for name in names}
    cases, _ = split(sources(names, test=["patient99"]), 3, r"patient\d+", looks, folds=5)
    fold_of = {}
    for case in cases:
        fold_of.setdefault(case.name.partition("_")[0], set()).add((case.fold, looks.get(case.name)))
    assert fold_of.pop("patient99") == {(None, None)}
    assert all(len(found) == 1 for found in fold_of.values())
    assert Counter(next(iter(found)) for found in fold_of.values()) == {
        (fold, look): 2 for fold in range(5) for look in ("grey", "colour")
    }


def test_the_folds_of_nnunet(tmp_path):
    """The file as nnU-Net writes it: five folds of 11 cases, with a list for training and one for validation."""
    path = tmp_path / "splits_final.json"
    named, folds = NAMES[:11], []
    for number in range(5):
        held_out = named[number::5]
        folds.append({"train": [name for name in named if name not in held_out], "val": held_out})
    path.write_text(json.dumps(folds))
    cases, words = split(sources(NAMES[:12]), 1, splits=path)
    assert {case.name: case.fold for case in cases} == {
        **{name: place % 5 for place, name in enumerate(named)},
        NAMES[11]: None,
    }
    assert parts(cases)["test"] == {NAMES[11]}
    assert words == "Folds: 5, of splits_final.json. Test: the cases that it does not name."

    assert split(sources(named), 1, splits=path)[1].endswith("Test: none, as it names all cases.")

    folds[1]["train"].remove(NAMES[0])
    path.write_text(json.dumps(folds))
    with pytest.raises(UserError, match="case000 is not trained on in fold 1"):
        split(sources(NAMES[:12]), 1, splits=path)


@pytest.mark.parametrize(("folds", "told"), [(1, "at least 2"), (41, "more than the 40 training names")])
def test_too_few_or_too_many_folds(folds, told):
    with pytest.raises(UserError, match=told):
        split(sources(NAMES), 1, folds=folds)
