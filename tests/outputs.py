"""Compares what two trainings left."""

import csv

import torch


def same(first, second, path="state"):
    """Both are the same values of the same types, to the last bit."""
    assert type(first) is type(second), path
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key, value in first.items():
            same(value, second[key], f"{path}[{key!r}]")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), path
        for place, (one, other) in enumerate(zip(first, second, strict=True)):
            same(one, other, f"{path}[{place}]")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    else:
        assert first == second, path


def rows(folder):
    """The rows of a history, without the seconds."""
    found = list(csv.DictReader((folder / "output" / "history.csv").open()))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found]


def same_files(one, other):
    """The folders hold the same models/model.pt, models/last.pt and output/history.csv."""
    for name in ("model.pt", "last.pt"):
        same(*(torch.load(folder / "models" / name, weights_only=True) for folder in (one, other)))
    assert rows(one) == rows(other)
