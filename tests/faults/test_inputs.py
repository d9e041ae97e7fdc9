"""Damaged files: what is read is what was written, or one line says what is wrong.

The undamaged file is the oracle: a result that comes without an error is the one of the undamaged file. It holds where
a file has a checksum over its content: compressed NIfTI, PNG, npz, the zips of weights and of bundles. In HDF5, and in
the header of a NIfTI file, which is damaged here before it is compressed, a changed number is another number.
"""

import contextlib
import gzip
import io
import json
import shutil
from collections import Counter

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from monai.transforms import LoadImaged
from PIL import Image

from components.errors import in_words, root_cause
from components.handlers.weights import load_weights
from components.runs.dataset import check_dataset
from components.transforms import LoadWholeImaged
from scripts.cli import main
from scripts.errors import UserError
from scripts.predict import InferenceBundle, Predictor
from scripts.zoo.archive import unpack
from scripts.zoo.package import build
from scripts.zoo.verify import check_bundle
from tests.scripts.predict.images import SAMPLES, SMALL
from tests.scripts.raw_data import bars, synapse_prepared, voxels
from tests.scripts.zoo.conftest import contents, listing

AREA = "Damaged files"
TOLD, RIGHT = "refused with one line", "read as it was written"
EXAMPLES, FULL = 30, 1000

place = st.floats(0, 1, exclude_max=True)
flipped = st.tuples(st.just("flipped"), st.lists(st.tuples(place, st.integers(1, 255)), min_size=1, max_size=6))
cut = st.tuples(st.just("cut"), place)
overwritten = st.tuples(st.just("overwritten"), st.tuples(place, st.binary(min_size=1, max_size=40)))
inserted = st.tuples(st.just("inserted"), st.tuples(place, st.binary(min_size=1, max_size=40)))
damages = st.one_of(flipped, cut, overwritten, inserted)


def damaged(raw, damage):
    kind, how = damage
    if kind == "cut":
        return raw[: int(how * len(raw))]
    if kind == "flipped":
        after = bytearray(raw)
        for where, mask in how:
            after[int(where * len(raw))] ^= mask
        return bytes(after)
    where, content = int(how[0] * len(raw)), how[1]
    return raw[:where] + content + raw[where + (len(content) if kind == "overwritten" else 0) :]


@pytest.fixture
def attack(full, tried):
    """Tries a function on damage after damage, counts what came of it, and notes it for the page."""

    def run(what, attempt, strategy=damages, share=1):
        outcomes = Counter()
        options = settings(
            max_examples=max(1, int((FULL if full else EXAMPLES) * share)),
            deadline=None,
            database=None,
            derandomize=not full,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        options(given(strategy)(lambda damage: outcomes.update([attempt(damage)])))()
        assert outcomes.keys() <= {TOLD, RIGHT}
        for outcome, times in sorted(outcomes.items()):
            tried(AREA, what, times, outcome)

    return run


def told(error):
    """That an error is one line, of a kind that is told with status 2."""
    text, mendable = in_words(error)
    assert mendable or isinstance(root_cause(error), UserError), repr(error)
    assert text
    assert "\n" not in text
    return TOLD


def command(*words):
    """Run a command in this process: its status, and the lines on stderr."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = main([str(word) for word in words])
    lines = [line for line in errors.getvalue().splitlines() if line.strip()]
    assert status in (0, 1, 2)
    assert not any("Traceback" in line or "scanseg: unexpected" in line for line in lines), lines
    assert len(lines) == (1 if status == 2 else 0), lines
    return status, out.getvalue()


@pytest.fixture(scope="module")
def volume():
    image = nib.load(SAMPLES / "ct.nii.gz").slicer[30:70, 30:66, 50:56]
    return nib.Nifti1Image(np.rint(np.asanyarray(image.dataobj)).astype(np.int16), image.affine)


@pytest.mark.parametrize("bundle", ["msvm_synapse", "xlstm_abdomen_mri_3d"])
def test_nifti_in_the_preprocessing(bundle, volume, attack, tmp_path):
    path = tmp_path / "scan.nii.gz"
    nib.save(volume, path)
    raw, prepare = path.read_bytes(), InferenceBundle(bundle, SMALL[bundle]).get("preprocessing")
    expected = prepare({"image": str(path)})["image"]

    def attempt(damage):
        path.write_bytes(damaged(raw, damage))
        try:
            result = prepare({"image": str(path)})["image"]
        except Exception as error:
            return told(error)
        assert torch.equal(result.as_tensor(), expected.as_tensor())
        assert torch.equal(result.affine, expected.affine)
        return RIGHT

    attack(f"{bundle}: compressed NIfTI into the preprocessing", attempt)


def test_nifti_with_another_header(volume, attack, tmp_path):
    """MONAI's own reader is the oracle: what ours accepts is read as it reads it."""
    path = tmp_path / "scan.nii.gz"
    raw = volume.to_bytes()

    def attempt(damage):
        path.write_bytes(gzip.compress(damaged(raw[:352], damage)[:352].ljust(352, b"\0") + raw[352:], 1))
        try:
            ours = LoadWholeImaged("image")({"image": str(path)})["image"]
        except Exception as error:
            return told(error)
        theirs = LoadImaged("image")({"image": str(path)})["image"]
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        np.testing.assert_array_equal(ours.affine.numpy(), theirs.affine.numpy())
        return RIGHT

    attack("NIfTI with a damaged header, its checksum right", attempt)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    made = {}

    def make(bundle):
        if bundle not in made:
            torch.manual_seed(0)
            path = tmp_path_factory.mktemp("weights") / "model.pt"
            torch.save(InferenceBundle(bundle, SMALL[bundle]).get("network").state_dict(), path)
            made[bundle] = Predictor(bundle, path, "cpu", override=SMALL[bundle])
        return made[bundle]

    return make


@pytest.mark.parametrize(("bundle", "name"), [("xlstm_abdomen_mri_3d", "scan.nii.gz"), ("xlstm_endoscopy", "scan.png")])
def test_predict(bundle, name, volume, predictor, attack, tmp_path):
    path = tmp_path / name
    if name.endswith("png"):
        Image.open(SAMPLES / "nuclei.png").convert("RGB").crop((0, 0, 48, 40)).save(path)
    else:
        nib.save(volume, path)
    raw, predict = path.read_bytes(), predictor(bundle)
    expected = predict(path).labels

    def attempt(damage):
        path.write_bytes(damaged(raw, damage))
        try:
            labels = predict(path).labels
        except Exception as error:
            return told(error)
        assert np.array_equal(labels, expected)
        return RIGHT

    attack(f"{bundle}: {'PNG' if name.endswith('png') else 'compressed NIfTI'} into predict", attempt)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """MSVM-UNet's prepared slices in circulation, two of them and a volume, and what data prepare makes of them."""
    pytest.importorskip("h5py")
    root = tmp_path_factory.mktemp("source")
    synapse_prepared(root / "raw", bars(9, (6, 5, 2)), voxels(5, (6, 5, 2)))
    assert command("data", "prepare", "msvm_synapse", "--source", root / "raw", "--out", root / "made")[0] == 0
    return root


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_data_prepare(kind, source, attack, tmp_path):
    path = sorted((source / "raw").rglob(f"*.{kind}"))[0]
    raw, expected = path.read_bytes(), listing(source / "made")

    def attempt(damage):
        path.write_bytes(damaged(raw, damage))
        out = tmp_path / "made"
        words = ("--source", source / "raw", "--out", out, "--processes", 1)
        status, _ = command("data", "prepare", "msvm_synapse", *words)
        made = listing(out) if out.is_dir() else {}
        shutil.rmtree(out, ignore_errors=True)
        if status == 0:
            assert made.keys() == expected.keys()
            assert kind == "h5" or made == expected
            return RIGHT
        assert status == 2
        return TOLD

    try:
        attack(f"{kind} into data prepare", attempt)
    finally:
        path.write_bytes(raw)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "data"
    assert command("data", "sample", "--bundle", "xlstm_cells", "--out", folder)[0] == 0
    assert command("data", "check", folder, "--processes", 1)[0] == 0
    return folder


@pytest.mark.parametrize("name", ["datalist.json", "dataset.json"])
def test_lists_of_a_data_set(name, sample, attack, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(sample, folder)
    path = folder / name
    raw, lists = path.read_bytes(), json.loads((folder / "datalist.json").read_text())

    def attempt(damage):
        path.write_bytes(damaged(raw, damage))
        status, _ = command("data", "check", folder, "--processes", 1)
        try:
            check_dataset(folder, list(lists))
        except Exception as error:
            told(error)
            assert status > 0 or name == "dataset.json"
        if status == 0 and name == "datalist.json":
            assert {part: found for part, found in json.loads(path.read_text()).items() if part in lists} == lists
        return RIGHT if status == 0 else TOLD

    attack(f"{name} into data check and into a run", attempt, share=0.3)


def test_weights(attack, tmp_path):
    path = tmp_path / "model.pt"
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8))
    torch.save(network.state_dict(), path)
    raw, expected = path.read_bytes(), {name: value.clone() for name, value in network.state_dict().items()}

    def attempt(damage):
        path.write_bytes(damaged(raw, damage))
        with torch.no_grad():
            network[0].weight.zero_()
        try:
            load_weights(network, path)
        except Exception as error:
            assert not network[0].weight.any()
            return told(error)
        assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
        return RIGHT

    attack("weights into an evaluation", attempt)


@pytest.fixture(scope="module")
def bundle_zip(tmp_path_factory):
    if shutil.which("git") is None:
        pytest.skip("needs git")
    out = tmp_path_factory.mktemp("zip")
    (entry,) = build(["msvm_acdc"], out)
    return out / entry["file"]


def test_zip_of_a_bundle(bundle_zip, attack, tmp_path):
    raw, path, folder = bundle_zip.read_bytes(), tmp_path / bundle_zip.name, tmp_path / "unpacked"
    expected = {name: data for name, data in contents(bundle_zip).items() if not name.endswith("/")}

    def attempt(damage):
        path.write_bytes(damaged(raw, damage))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            unpack(path, folder)
        except Exception as error:
            return told(error)
        found = {name.as_posix(): data for name, data in listing(folder).items() if data is not False}
        assert found == expected
        return RIGHT

    attack("zip of a bundle, unpacked", attempt)


def test_zip_in_zoo_verify(bundle_zip, attack, tmp_path):
    raw, path = bundle_zip.read_bytes(), tmp_path / bundle_zip.name
    expected = {name: data for name, data in contents(bundle_zip).items() if not name.endswith("/")}

    def attempt(damage):
        path.write_bytes(damaged(raw, damage))
        try:
            results = list(check_bundle(str(path)))
        except Exception as error:
            return told(error)
        assert all("\n" not in result.why for result in results)
        if all(result.status == "ok" for result in results):
            assert {name: data for name, data in contents(path).items() if not name.endswith("/")} == expected
            return RIGHT
        return TOLD

    attack("zip of a bundle into zoo verify --static", attempt, share=0.3)
