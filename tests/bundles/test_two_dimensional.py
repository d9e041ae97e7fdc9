"""xlstm_abdomen_mri_3d with 2d.json: the same volumes, slice by slice."""

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from components.transforms import ResampleSpacing
from tests.bundles.workflow import configs

MRI = configs("xlstm_abdomen_mri_3d")
VOLUME = MetaTensor(torch.randn(1, 5, 90, 80), affine=torch.diag(torch.tensor([6.0, 1.4, 1.4, 1.0])))


def parser(name, **changes):
    config = ConfigParser.load_config_files([str(MRI / f"{name}.json"), str(MRI / "2d.json")])
    found = ConfigParser(config)
    for key, value in changes.items():
        found[key] = value
    return found


def test_a_training_item_is_a_slice_of_the_published_size():
    found = parser("train")
    augmentation = found.get_parsed_content("augmentation").set_random_state(seed=0)
    label = MetaTensor(torch.zeros(1, 5, 90, 80), affine=VOLUME.affine)
    label[:, 3, 40:50, 30:40] = 6  # in one slice only
    for _ in range(3):
        item = augmentation({"image": VOLUME, "label": label, "foreground": True})
        assert item["image"].shape == item["label"].shape == (1, 320, 320)
        assert set(item["label"].unique().tolist()) == {0, 6}


@pytest.mark.parametrize("variant", ["bot", "enc"])
@pytest.mark.parametrize("name", ["evaluate", "inference"])
def test_a_volume_goes_through_the_network_slice_by_slice(name, variant):
    """With a small patch and few features; the network of the recipe has 7 stages and 14 classes."""
    small = {
        "patch_size": [64, 128],
        "network_def#features": [4] * 7,
        "variant": variant,
        "device": torch.device("cpu"),
    }
    found = parser(name, **small)
    assert found["network_def#strides"] == [1, 2, 2, 2, 2, 2, 2]
    prefix = "validate#" if name == "evaluate" else ""
    inferer, network = found.get_parsed_content(f"{prefix}inferer"), found.get_parsed_content("network").eval()
    with torch.no_grad():
        logits = inferer(VOLUME[None], network)
        alone = inferer(VOLUME[None, :, 2:3], network)
    assert logits.shape == (1, 14, 5, 90, 80)
    torch.testing.assert_close(logits[:, :, 2:3].as_tensor(), alone.as_tensor(), atol=1e-4, rtol=1e-4)


def test_slices_keep_their_distance():
    resample = ResampleSpacing(parser("train")["pixdim"])
    resampled = resample(VOLUME)
    assert resampled.shape == (1, 5, 106, 94)
    torch.testing.assert_close(
        resampled.pixdim, torch.tensor([6.0, 1.19, 1.19], dtype=torch.float64), atol=0.01, rtol=0
    )
    assert resample.inverse(resampled).shape == VOLUME.shape
