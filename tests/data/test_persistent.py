"""Prepared cases on disk: the same items, found again only while nothing has changed."""

import logging
import os

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    RandFlipd,
    ScaleIntensityRanged,
)
from monai.utils import set_determinism

from components.data import EpochDataset


@pytest.fixture
def cases(tmp_path):
    random = np.random.default_rng(0)
    items = []
    for number in range(3):
        path = tmp_path / f"case{number}.nii.gz"
        nib.save(nib.Nifti1Image(random.normal(size=(6, 7, 5)).astype(np.float32), np.diag([1, 2, 3, 1])), path)
        items.append({"image": str(path), "number": number})
    return items


def preparation(*more):
    return Compose([LoadImaged("image"), EnsureChannelFirstd("image"), *more, RandFlipd("image", prob=0.5)])


def drawn(cases, cache_dir, transform=None, workers=0, rate=0.0):
    set_determinism(3)
    epoch = EpochDataset(
        cases, transform or preparation(), batch_size=2, iterations=6, cache_dir=cache_dir, cache_rate=rate
    )
    loader = DataLoader(epoch, batch_size=2, num_workers=workers)
    items = [(batch["number"].tolist(), torch.as_tensor(batch["image"])) for batch in loader]
    set_determinism(None)
    return items


def assert_same(items, expected):
    for (number, image), (other_number, other) in zip(items, expected, strict=True):
        assert number == other_number
        torch.testing.assert_close(image, other, rtol=0, atol=0)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rate", [0.0, 0.7])
def test_items_are_those_without_a_cache_when_made_and_when_read(cases, tmp_path, workers, rate):
    expected = drawn(cases, None, workers=workers)
    for _ in range(2):
        assert_same(drawn(cases, str(tmp_path / "cache"), workers=workers, rate=rate), expected)
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 3
    assert not list((tmp_path / "cache").glob(".partial*"))


def test_a_case_is_prepared_once(cases, tmp_path, monkeypatch):
    calls = []
    load = LoadImaged.__call__
    monkeypatch.setattr(LoadImaged, "__call__", lambda self, data, *rest: calls.append(1) or load(self, data, *rest))
    drawn(cases, str(tmp_path / "cache"))
    drawn(cases, str(tmp_path / "cache"))
    assert len(calls) == 3


@pytest.mark.parametrize(
    "transforms",
    [
        (NormalizeIntensityd("image"),),
        (ScaleIntensityRanged("image", 0, 1, 0, 1),),
        (ScaleIntensityRanged("image", 0, 2, 0, 1),),
        (CropForegroundd("image", "image", select_fn=lambda x: x > 0),),
        (CropForegroundd("image", "image", select_fn=lambda x: x > 1),),
    ],
    ids=["normalised", "range 1", "range 2", "positive", "above 1"],
)
def test_another_setting_prepares_anew(cases, tmp_path, transforms):
    cache = str(tmp_path / "cache")
    drawn(cases, cache)
    drawn(cases, cache, preparation(ScaleIntensityRanged("image", 0, 3, 0, 1)))
    expected = drawn(cases[:1], None, preparation(*transforms))
    assert_same(drawn(cases[:1], cache, preparation(*transforms)), expected)
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 7


def test_another_file_of_the_same_name_prepares_anew(cases, tmp_path):
    cache = str(tmp_path / "cache")
    drawn(cases, cache)
    nib.save(nib.Nifti1Image(np.ones((6, 7, 5), np.float32), np.eye(4)), cases[0]["image"])
    os.utime(cases[0]["image"], (1, 1))
    assert_same(drawn(cases, cache), drawn(cases, None))


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None], ids=["empty", "other", "cut"])
def test_a_damaged_file_is_made_again(cases, tmp_path, caplog, damage):
    cache = tmp_path / "cache"
    expected = drawn(cases, str(cache))
    for path in cache.glob("*.pt"):
        path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        assert_same(drawn(cases, str(cache)), expected)
    assert caplog.text.count("it is recomputed") == 3
    caplog.clear()
    assert_same(drawn(cases, str(cache)), expected)
    assert "recomputed" not in caplog.text
