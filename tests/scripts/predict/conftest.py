"""Small real images, and weights that are random: these tests are about files, not about organs."""

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from scripts.predict import InferenceBundle, Predictor
from tests.scripts.predict.images import SAMPLES, SMALL


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Gives the file of random weights of a bundle."""
    folder = tmp_path_factory.mktemp("weights")

    def make(bundle, seed=0):
        path = folder / f"{bundle}_{seed}.pt"
        if not path.exists():
            torch.manual_seed(seed)
            torch.save(InferenceBundle(bundle, SMALL[bundle]).get("network").state_dict(), path)
        return path

    return make


@pytest.fixture(scope="session")
def predictor(weights):
    """Gives a predictor of a bundle on the CPU, always the same one."""
    made = {}

    def make(bundle):
        if bundle not in made:
            made[bundle] = Predictor(bundle, weights(bundle), "cpu", override=SMALL[bundle])
        return made[bundle]

    return make


@pytest.fixture(scope="session")
def arguments(weights):
    """Gives arguments of ``predict`` for a bundle."""
    return lambda bundle, seed=0: {
        "bundle": bundle,
        "weights": str(weights(bundle, seed)),
        "device": "cpu",
        "override": SMALL[bundle],
    }


@pytest.fixture
def ct():
    """A block of the real CT: 62 × 40 × 4 voxels, its spacing uneven so that axes cannot be mixed up."""
    whole = nib.load(SAMPLES / "ct.nii.gz").slicer[30:92, 30:70, 50:54]
    array = np.rint(np.asanyarray(whole.dataobj)).astype(np.int16)
    return nib.Nifti1Image(array, whole.affine @ np.diag([1, 0.9, 1.5, 1]))


@pytest.fixture
def nuclei():
    """A piece of the real nuclei: 48 × 80 pixels, grey."""
    return np.array(Image.open(SAMPLES / "nuclei.png").convert("L"))[:48, :80]
