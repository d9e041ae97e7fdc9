"""No spatial transform of any bundle's training moves an image against its label."""

import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.utils import set_determinism
from scipy import ndimage

from tests.bundles.workflow import BUNDLES, configs

SMALL = {"roi_size": [48, 48], "num_workers": 0}
PATCHES = {2: ([48, 48], [64, 64]), 3: ([8, 32, 32], [8, 44, 44])}
DRAWS = 80


def parser(bundle):
    config = json.loads((configs(bundle) / "train.json").read_text())
    config |= {key: value for key, value in SMALL.items() if key in config}
    if "patch_size" in config:
        config["patch_size"], config["augmented_size"] = PATCHES[config["network_def"]["spatial_dims"]]
    return ConfigParser(config)


def spatial(bundle):
    """Ids of the transforms that get the image and its label, apart from those that read them."""
    config = parser(bundle).config
    for place in ("train#preprocessing", "augmentation"):
        holder = config
        for key in place.split("#"):
            holder = holder[key]
        for number, step in enumerate(holder["transforms"]):
            if isinstance(step, dict) and set(step["keys"]) >= {"image", "label"}:
                name = step["_target_"].rpartition(".")[2]
                if name not in ("LoadWholeImaged", "EnsureChannelFirstd", "CheckItemd", "EnsureTyped"):
                    yield f"{place}#transforms#{number}", name, json.dumps([step, config["network_def"]["_target_"]])


# What is the same text in several bundles is looked at once.
FOUND = {text: (bundle, place, name) for bundle in BUNDLES for place, name, text in spatial(bundle)}
CASES = list(FOUND.values())


def centroid(picture):
    return np.array(ndimage.center_of_mass(picture.as_tensor()[0].double().numpy()))


@pytest.mark.parametrize(("bundle", "place", "name"), CASES, ids=[f"{b}-{n}-{p[-2:]}" for b, p, n in CASES])
def test_image_and_label_stay_together(bundle, place, name):
    """The mean distance of the centroids of a disc, of which every draw has its own fraction of a voxel."""
    if bundle.endswith("_mri_3d"):
        shape = (8, 44, 48)
    elif name == "SqueezeDimd":
        shape = (48, 48, 1)
    else:
        shape = (60, 56, 2) if place.startswith("train") and bundle.startswith("msvm") else (60, 56)
    set_determinism(seed=0)
    transform = parser(bundle).get_parsed_content(place)
    rng, shifts = np.random.default_rng(0), []
    axes = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    draws = DRAWS if len(shape) == 2 else DRAWS // 4
    for _ in range(draws):
        centre = [n / 2 + rng.uniform(-3, 3) if n > 20 else (n - 1) / 2 for n in shape]
        distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)))
        disc = torch.from_numpy((distance < 18).astype(np.float32))[None]
        affine = torch.diag(torch.tensor([3.0, 1.4, 1.3, 1.0], dtype=torch.float64))
        item = {key: MetaTensor(disc.clone(), affine=affine) for key in ("image", "label")}
        done = transform({**item, "foreground": False})
        if min(done[key].sum() for key in item) > 20:  # a translation may move it out
            shifts.append(centroid(done["label"]) - centroid(done["image"]))
    set_determinism(None)
    assert len(shifts) > draws / 2
    np.testing.assert_allclose(np.mean(shifts, axis=0), 0, atol=0.12)
