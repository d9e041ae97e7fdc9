"""Training, validation and test."""

from pathlib import Path

import pytest

from scripts.errors import UserError
from scripts.new.sources import Source, Sources
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
        (["a"], [], "(", "is no regular expression"),
    ],
)
def test_what_cannot_be_divided_is_told(names, test, group, told):
    with pytest.raises(UserError, match=told.replace("(", r"\(")):
        split(sources(names, test), 1, group)
