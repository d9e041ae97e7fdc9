"""The sample data set of msvm_synapse."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.data import load_decathlon_datalist

from scripts.data.labels import CLASSES, remap

SOURCE = Path(__file__).parents[2] / "scripts" / "data" / "samples"
NAMES = {
    52: "aorta", 4: "gallbladder", 3: "left kidney", 2: "right kidney", 5: "liver", 7: "pancreas", 1: "spleen",
    6: "stomach",
}  # fmt: skip


@pytest.fixture(scope="module")
def source():
    image, labels = nib.load(SOURCE / "ct.nii.gz"), nib.load(SOURCE / "ct_total_labels.nii.gz")
    return np.asarray(image.dataobj), np.asarray(labels.dataobj), image.affine


@pytest.fixture(scope="module")
def items(ct_sample):
    """(part, image, label) of every case, read with nibabel."""
    lists = json.loads((ct_sample / "datalist.json").read_text())
    return [
        (part, nib.load(ct_sample / item["image"]), nib.load(ct_sample / item["label"]))
        for part in ("training", "validation", "test")
        for item in lists[part]
    ]


def source_indices(image, affine):
    """For each voxel of an image the indices of the voxel of the source at the same place in the world."""
    voxels = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), axis=-1)
    world = nib.affines.apply_affine(image.affine, voxels)
    exact = nib.affines.apply_affine(np.linalg.inv(affine), world)
    indices = np.rint(exact).astype(int)
    assert np.abs(exact - indices).max() < 1e-4
    return tuple(np.moveaxis(indices, -1, 0))


def test_layout_is_what_monai_reads(ct_sample):
    lists = json.loads((ct_sample / "datalist.json").read_text())
    assert {part: len(found) for part, found in lists.items()} == {"training": 35, "validation": 1, "test": 1}
    loaded = load_decathlon_datalist(str(ct_sample / "datalist.json"), data_list_key="training")
    assert all(Path(item["image"]).is_file() and Path(item["label"]).is_file() for item in loaded)
    paths = [path for found in lists.values() for item in found for path in item.values()]
    assert len(set(paths)) == len(paths)
    assert not any(path.startswith("/") or "\\" in path for path in paths)
    files = {p.relative_to(ct_sample).as_posix() for p in ct_sample.rglob("*") if p.is_file()}
    assert files == {*paths, "datalist.json", "dataset.json"}


def test_every_voxel_keeps_its_place_value_and_organ(items, source):
    ct, total, affine = source
    expected = np.zeros(total.shape, int)
    for number, name in NAMES.items():
        expected[total == number] = CLASSES["msvm_synapse"].index(name)
    for _, image, label in items:
        indices = source_indices(image, affine)
        np.testing.assert_array_equal(np.asarray(image.dataobj), ct[indices])
        np.testing.assert_array_equal(np.asarray(label.dataobj), expected[indices])
        np.testing.assert_array_equal(image.affine, label.affine)
        assert nib.aff2axcodes(image.affine) == ("P", "L", "S")
        assert image.get_data_dtype() == np.int16
        assert label.get_data_dtype() == np.uint8


def test_spacing_follows_the_slices(items):
    zooms = {part: image.header.get_zooms() for part, image, _ in items}
    assert zooms == {"training": (3, 3, 3), "validation": (3, 3, 24), "test": (3, 3, 12)}
    shapes = {part: image.shape for part, image, _ in items}
    assert shapes == {"training": (101, 122, 1), "validation": (101, 122, 7), "test": (101, 122, 14)}


def test_no_slice_is_in_two_parts(items, source):
    """By the voxels, not by the names: no slice of the source comes twice."""
    ct, _, affine = source
    slices = [z for _, image, _ in items for z in np.unique(source_indices(image, affine)[2])]
    assert len(set(slices)) == len(slices) == 56
    assert len({ct[:, :, z].tobytes() for z in slices}) == 56


def test_every_part_has_every_organ(items):
    for part in ("training", "validation", "test"):
        found = set().union(*(np.unique(label.dataobj).tolist() for p, _, label in items if p == part))
        assert found == set(range(9)), part


def test_record_says_what_the_data_are(ct_sample):
    record = json.loads((ct_sample / "dataset.json").read_text())
    assert record["bundle"] == "msvm_synapse"
    assert record["synthetic"] is False
    assert "same patient" in record["caution"]
    assert record["licence"] == "Apache-2.0"
    assert "totalsegmentator 2.18.0" in record["source"]
    assert "model" in record["description"]
    assert record["labels"] == {str(number): name for number, name in enumerate(CLASSES["msvm_synapse"])}
    assert record["number"] == {"training": 35, "validation": 1, "test": 1}


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_same_bytes_every_time(run, ct_sample, tmp_path):
    out = tmp_path / "deep" / "again"
    assert run("data", "sample", "--bundle=msvm_synapse", f"--out={out}").returncode == 0
    assert content(out) == content(ct_sample)
    assert [p.name for p in out.parent.iterdir()] == ["again"]


def test_second_run_reuses_its_own_output(run, ct_sample):
    before = {p: p.stat().st_mtime_ns for p in ct_sample.rglob("*")}
    done = run("data", "sample", "--bundle", "msvm_synapse", "--out", ct_sample)
    assert done.returncode == 0
    assert "already holds this sample" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in ct_sample.rglob("*")} == before


def refused(run, out):
    done = run("data", "sample", "--bundle", "msvm_synapse", "--out", out)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_foreign_folder_is_left_alone(run, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    assert "not empty: choose another folder" in refused(run, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_another_data_set_is_left_alone(run, tmp_path):
    (tmp_path / "dataset.json").write_text('{"name": "my own", "bundle": "msvm_synapse"}')
    assert "not empty: choose another folder" in refused(run, tmp_path)


def test_missing_files_are_noticed(run, ct_sample, tmp_path):
    for name in ("dataset.json", "datalist.json"):
        (tmp_path / name).write_bytes((ct_sample / name).read_bytes())
    assert "74 files of" in refused(run, tmp_path)


def test_broken_record_is_told(run, tmp_path):
    (tmp_path / "dataset.json").write_text("{")
    assert "dataset.json is not valid JSON" in refused(run, tmp_path)


def test_empty_folder_is_used(run, tmp_path):
    assert run("data", "sample", "--bundle", "msvm_synapse", "--out", tmp_path).returncode == 0
    assert (tmp_path / "dataset.json").is_file()


def test_interrupted_run_leaves_nothing(tmp_path):
    code = (
        "import sys, scripts.data.output as o; from scripts.cli import main\n"
        "def fail(*a): raise KeyboardInterrupt\n"
        "o.write_nifti = fail\n"
        "sys.exit(main(['data', 'sample', '--bundle', 'msvm_synapse', '--out', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True, cwd=SOURCE.parents[2]
    )
    assert done.returncode == 130
    assert not list(tmp_path.iterdir())


def test_unknown_labels_are_reported():
    with pytest.raises(ValueError, match=r"labels \[13, 14\] are not in the table"):
        remap(np.array([0, 1, 13, 14]), {1: 7})
    np.testing.assert_array_equal(remap(np.array([[0, 1], [13, 2]]), {1: 7, 2: 4}, ignored={13}), [[0, 7], [0, 4]])
