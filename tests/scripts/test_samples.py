"""What the samples of all bundles have in common, and what is particular to each but the CT."""

import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.data import load_decathlon_datalist
from PIL import Image
from scipy import ndimage

from components.transforms.instances import interior_boundary
from scripts.cli import main
from scripts.data.labels import CLASSES
from scripts.data.sample import SAMPLES
from tests import processes

SOURCE = Path(__file__).parents[2] / "scripts" / "data" / "samples"
SYNTHETIC = {"msvm_acdc", "xlstm_endoscopy", "xlstm_hippocampus_mri_3d"}
MEGABYTES = 5


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """The folder of each bundle's sample."""
    folder = tmp_path_factory.mktemp("samples")
    for bundle in SAMPLES:
        assert main(["data", "sample", "--bundle", bundle, "--out", str(folder / bundle)]) == 0
    return folder


def read(path):
    return np.asarray(Image.open(path)) if path.suffix == ".png" else np.asarray(nib.load(path).dataobj)


def items(folder):
    lists = json.loads((folder / "datalist.json").read_text())
    return [(part, {key: folder / path for key, path in item.items()}) for part in lists for item in lists[part]]


def test_every_bundle_has_a_sample():
    assert set(SAMPLES) == set(CLASSES)


@pytest.mark.parametrize("bundle", SAMPLES)
def test_sample_is_sound_and_small(bundle, samples, capsys):
    folder = samples / bundle
    assert main(["data", "check", str(folder), "--processes=1"]) == 0
    lists = json.loads((folder / "datalist.json").read_text())
    assert all(lists[part] for part in ("training", "validation", "test"))
    assert load_decathlon_datalist(str(folder / "datalist.json"), data_list_key="test")
    paths = [path for found in lists.values() for item in found for path in item.values()]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {p.relative_to(folder).as_posix() for p in files} == {*paths, "datalist.json", "dataset.json"}
    assert sum(path.stat().st_size for path in files) < MEGABYTES * 1e6


@pytest.mark.parametrize("bundle", SAMPLES)
def test_record_says_what_it_is(bundle, samples):
    record = json.loads((samples / bundle / "dataset.json").read_text())
    assert record["bundle"] == bundle
    assert record["synthetic"] is (bundle in SYNTHETIC)
    assert ("ynthetic" in record["name"]) is (bundle in SYNTHETIC)
    assert ("synthetic" in record["caution"]) is (bundle in SYNTHETIC)
    assert "demonstration" in record["caution"]
    assert all(record[key] for key in ("description", "modality", "source", "licence", "split"))


@pytest.mark.parametrize("bundle", SAMPLES)
def test_training_and_test_have_the_same_classes(bundle, samples):
    found = {part: set() for part in ("training", "test")}
    for part, item in items(samples / bundle):
        if part in found:
            found[part] |= set(np.unique(read(item["label"])).tolist())
    missing = {CLASSES[bundle].index("oesophagus")} if bundle == "xlstm_abdomen_mri_3d" else set()
    assert found["training"] == found["test"] == set(range(len(CLASSES[bundle]))) - missing


@pytest.mark.parametrize("bundle", [bundle for bundle in SAMPLES if bundle != "msvm_synapse"])
def test_same_bytes_every_time(bundle, samples, tmp_path):
    """In another process, whose hashes have another seed."""
    done = processes.run(["scripts", "data", "sample", "--bundle", bundle, "--out", tmp_path / "again"], tmp_path)
    assert done.returncode == 0, done.stderr
    for path in samples.joinpath(bundle).rglob("*.*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(samples / bundle)).read_bytes() == path.read_bytes(), path


def test_mr_keeps_place_value_and_organ(samples):
    names = {
        1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gallbladder", 5: "liver", 6: "stomach", 7: "pancreas",
        8: "right adrenal gland", 9: "left adrenal gland", 14: "duodenum", 23: "aorta", 24: "inferior vena cava",
    }  # fmt: skip
    source, total = nib.load(SOURCE / "mr.nii.gz"), nib.load(SOURCE / "mr_total_labels.nii.gz")
    numbers = np.zeros(256, int)
    for number, name in names.items():
        numbers[number] = CLASSES["xlstm_abdomen_mri_3d"].index(name)
    organs = numbers[np.asarray(total.dataobj)]
    slices = []
    for _, item in items(samples / "xlstm_abdomen_mri_3d"):
        image, label = nib.load(item["image"]), nib.load(item["label"])
        assert image.shape == (91, 117, 5)
        assert image.header.get_zooms() == (3, 3, 12)
        assert nib.aff2axcodes(image.affine) == ("P", "L", "S")
        voxels = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), axis=-1)
        world = nib.affines.apply_affine(image.affine, voxels)
        places = np.rint(nib.affines.apply_affine(np.linalg.inv(source.affine), world)).astype(int)
        where = tuple(np.moveaxis(places, -1, 0))
        np.testing.assert_array_equal(np.asarray(image.dataobj), np.asarray(source.dataobj)[where])
        np.testing.assert_array_equal(np.asarray(label.dataobj), organs[where])
        slices += np.unique(where[2]).tolist()
    assert sorted(slices) == list(range(20))


def test_nuclei_cover_the_picture_once(samples):
    truth = np.asarray(Image.open(SOURCE / "nuclei_instances.png")).astype(int)
    picture = np.asarray(Image.open(SOURCE / "nuclei.png")).astype(float)
    covered = np.zeros(truth.shape, int)
    for part, item in items(samples / "xlstm_cells"):
        row, column = (int(text[1:]) for text in item["image"].stem.split("_")[1:])
        image, label, instances = (read(item[key]) for key in ("image", "label", "instances"))
        here = slice(row, row + label.shape[0]), slice(column, column + label.shape[1])
        assert (column >= 256) is (part == "test")
        covered[here] += 1
        np.testing.assert_array_equal(instances, truth[here])
        np.testing.assert_array_equal(label, interior_boundary(truth[here]))
        half = picture[:, :256] if column < 256 else picture[:, 256:]
        low, high = np.percentile(half[half > 0], [1, 99])
        expected = ((picture[here] - low) / (high - low) * 255).clip(0, 255)
        np.testing.assert_allclose(image, np.repeat(expected[..., None], 3, axis=2), atol=1)
    assert (covered == 1).all()


def test_hearts_have_the_anatomy_of_hearts(samples):
    for part, item in items(samples / "msvm_acdc"):
        image, label = read(item["image"]), read(item["label"])
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
        for z in range(label.shape[2]):
            plane = label[:, :, z]
            assert ndimage.label(plane == 3)[1] == ndimage.label(plane == 2)[1] == 1
            around = ndimage.binary_dilation(plane == 3) & (plane != 3)
            assert set(plane[around]) == {2}  # the muscle encloses the left ventricle
            blood, muscle = image[:, :, z][plane == 3], image[:, :, z][plane == 2]
            assert np.median(blood) > 1.3 * np.median(muscle)
            if (plane == 1).any():
                right, left = (np.argwhere(plane == number)[:, 1].mean() for number in (1, 3))
                assert right < left  # columns go to the patient's left
        if part == "test":
            assert image.shape == (112, 112, 8)
            assert nib.load(item["image"]).header.get_zooms() == (1.5, 1.5, 10)


def test_hearts_contract(samples):
    folder = samples / "msvm_acdc/labels/test"
    for patient in ("06", "07"):
        diastole, systole = (read(folder / f"synthetic{patient}_{phase}.nii.gz") for phase in ("ED", "ES"))
        assert 0.3 < 1 - (systole == 3).sum() / (diastole == 3).sum() < 0.75


def test_instruments_come_from_the_border_and_move(samples):
    frames = {}
    for _, item in items(samples / "xlstm_endoscopy"):
        label = read(item["label"])
        assert read(item["image"]).shape == (180, 320, 3)
        frames.setdefault(item["label"].name.partition("_")[0], []).append(label)
        edge = np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])
        assert set(np.unique(label)) - {0} <= set(np.unique(edge))
    assert all((first != second).any() for found in frames.values() for first, second in itertools.pairwise(found))
