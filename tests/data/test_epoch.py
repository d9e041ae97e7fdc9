"""Epochs of drawn cases: length, places in the batch, seeds and workers."""

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import Lambdad, RandScaleIntensityd
from monai.utils import set_determinism

from components.data import EpochDataset
from components.transforms import RandPatchd

CASES = [{"case": i} for i in range(5)]


@pytest.fixture(autouse=True)
def _restore_determinism():
    yield
    set_determinism(None)


@pytest.mark.parametrize(("batch", "first"), [(1, 1), (2, 1), (3, 2), (12, 8), (13, 9)])
def test_last_third_of_each_batch_is_foreground(batch, first):
    """round(0.67 · batch), the batch sizes of the bundles among them."""
    epoch = EpochDataset(CASES, batch_size=batch, iterations=4)
    marks = [epoch[i]["foreground"] for i in range(len(epoch))]
    assert first == round(0.67 * batch)
    assert marks == ([False] * first + [True] * (batch - first)) * 4


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_gives_batches_with_marks_at_their_places(workers):
    loader = DataLoader(EpochDataset(CASES, batch_size=3, iterations=7), num_workers=workers, batch_size=3)
    batches = list(loader)
    assert len(batches) == 7
    assert all(batch["foreground"].tolist() == [False, False, True] for batch in batches)


def cases_of(seed, workers):
    set_determinism(seed)
    loader = DataLoader(EpochDataset(CASES, batch_size=4, iterations=20), num_workers=workers, batch_size=4)
    return [torch.cat([batch["case"] for batch in loader]).tolist() for _ in range(2)]


@pytest.mark.parametrize("workers", [0, 2])
def test_seed_decides_and_epochs_differ(workers):
    first, again, other = cases_of(0, workers), cases_of(0, workers), cases_of(1, workers)
    assert first == again
    assert first != other
    assert first[0] != first[1]


def test_cases_are_drawn_uniformly_with_replacement():
    epoch = EpochDataset(CASES, batch_size=10, iterations=500).set_random_state(seed=0)
    counts = np.bincount([epoch[i]["case"] for i in range(len(epoch))], minlength=5)
    np.testing.assert_allclose(counts / 5000, 0.2, atol=0.02)


def test_transforms_are_seeded_too():
    data = [{"image": torch.ones(1, 2)}]
    scaled = RandScaleIntensityd("image", 0.5, prob=1.0)
    runs = []
    for seed in (3, 3, 4):
        epoch = EpochDataset(data, scaled, batch_size=2, iterations=5).set_random_state(seed=seed)
        runs.append([float(epoch[i]["image"][0, 0]) for i in range(10)])
    assert runs[0] == runs[1] != runs[2]
    assert len(set(runs[0])) == 10


def test_data_may_be_another_data_set():
    prepared = Dataset(CASES, Lambdad("case", func=lambda x: x + 100))
    epoch = EpochDataset(prepared, Lambdad("case", func=lambda x: -x), batch_size=2, iterations=5)
    assert {epoch[i]["case"] for i in range(10)} <= {-100, -101, -102, -103, -104}
    assert CASES[0] == {"case": 0}


@pytest.mark.parametrize(("rate", "calls"), [(0.0, 40), (1.0, 5)])
def test_prepared_cases_are_kept_in_memory(rate, calls):
    seen = []
    prepare = Lambdad("case", func=lambda x: seen.append(x) or torch.full((1, 2), float(x)))
    random = RandScaleIntensityd("case", 0.5, prob=1.0)
    epoch = EpochDataset(CASES, [prepare, random], batch_size=4, iterations=10, cache_rate=rate)
    epoch.set_random_state(seed=0)
    values = [epoch[i]["case"].unique().item() for i in range(40)]
    assert len(seen) == calls
    assert all(any(0.5 * case <= value <= 1.5 * case for case in range(5)) for value in values)
    assert len(set(values)) > 20  # the random part is drawn anew and does not touch what is kept


def test_patches_of_a_batch():
    """A needle of one voxel is in each foreground patch, and hardly ever in the others."""
    label = torch.zeros(1, 60, 60)
    label[0, 30, 30] = 1
    epoch = EpochDataset([{"label": label}], RandPatchd("label", "label", [6, 6]), batch_size=3, iterations=20)
    found = torch.stack([batch["label"].flatten(1).sum(1) for batch in DataLoader(epoch, batch_size=3)])
    assert found[:, 2].tolist() == [1] * 20
    assert found[:, :2].sum() < 4


def test_places_count_over_all_processes(monkeypatch):
    """Two processes with one item each: the second one's is the last half of the batch."""
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    marks = []
    for rank in (0, 1):
        monkeypatch.setattr("ignite.distributed.get_rank", lambda rank=rank: rank)
        marks.append(EpochDataset(CASES, batch_size=1, iterations=3)[2]["foreground"])
    assert marks == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": []}, "no cases"),
        ({"batch_size": 0}, "batch_size and iterations"),
        ({"iterations": 0}, "batch_size and iterations"),
        ({"foreground_fraction": 1.5}, "foreground_fraction"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        EpochDataset(**{"data": CASES, **arguments})


def test_end_of_the_epoch():
    with pytest.raises(IndexError):
        EpochDataset(CASES, batch_size=2, iterations=3)[6]
