"""Agreement of label maps."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from benchmarks import precision
from scripts.bench.session import Session, Settings
from scripts.bundle.inference import InferenceBundle
from scripts.errors import UserError


def test_dice_is_that_of_monai():
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 3, (2, 1, 4, 5, 6))
    one_hot = [torch.nn.functional.one_hot(torch.tensor(a), 4).movedim(-1, 1) for a in (first, second)]
    expected = compute_dice(*one_hot, ignore_empty=True)[0]
    for label in range(3):
        assert precision.dice([first[0]], [second[0]], label) == pytest.approx(expected[label].item())
    assert precision.dice([first], [second], 3) is None


def test_dice_is_over_all_images():
    a, b, empty = np.array([1, 1]), np.array([1, 0]), np.array([0, 0])
    assert precision.dice([a, empty], [b, empty], 1) == 2 / 3


def test_label_maps_of_weights(tmp_path):
    bundle = InferenceBundle("msvm_acdc")
    weights = tmp_path / "model.pt"
    torch.manual_seed(0)
    torch.save(bundle.get("network").state_dict(), weights)
    assert precision.bundle_of(str(weights)) == "msvm_acdc"
    session = Session(Settings(quick=True, weights=str(weights)), tmp_path)
    (row,) = precision.agreement(session, "msvm_acdc", str(weights))
    assert 0 < row["equal_voxels"] <= row["voxels"]
    assert 0 <= row["equal_foreground_voxels"] <= row["foreground_voxels"] <= row["voxels"]
    assert set(row["dice"]) == {"1", "2", "3"}


def test_weights_of_no_bundle(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="fits the network of none of msvm_synapse"):
        precision.bundle_of(str(path))
