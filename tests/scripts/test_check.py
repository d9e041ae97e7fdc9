"""``data check`` finds each damage that is planted, and nothing else."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import raw_data as raw
from PIL import Image
from raw_data import redraw, rewrite

from scripts.cli import main

VOLUME = "labels/test/case0001.nii.gz"
SLICE = "labels/training/case0005_slice001.nii.gz"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Sound data sets: volumes and pictures."""
    folder = tmp_path_factory.mktemp("check")
    raw.synapse_raw(folder / "raw/ct")
    raw.cells(folder / "raw/cells")
    for bundle, name in (("msvm_synapse", "ct"), ("xlstm_cells", "cells")):
        words = ["--source", str(folder / "raw" / name), "--out", str(folder / name), "--processes=1"]
        assert main(["data", "prepare", bundle, *words]) == 0
    return folder


@pytest.fixture
def damaged(sound, tmp_path, capsys):
    """Change a copy of a data set and check it; tells the exit status and the lines."""

    def change(name, how, *more):
        shutil.copytree(sound / name, tmp_path / name)
        how(tmp_path / name)
        capsys.readouterr()
        status = main(["data", "check", str(tmp_path / name), "--processes=1", *more])
        said = capsys.readouterr()
        assert said.err == "" or status == 2
        return status, said.out.splitlines() or said.err.splitlines()

    return change


def spoil(place, value):
    def change(array):
        array = array.astype(np.float32)
        array.flat[place] = value
        return array

    return change


def edit(name, change):
    def how(folder):
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return how


def truncate(name):
    return lambda d: (d / name).write_bytes((d / name).read_bytes()[:-30])


def wrong_checksum(folder):
    data = bytearray((folder / VOLUME).read_bytes())
    data[-6] ^= 1
    (folder / VOLUME).write_bytes(data)
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(bytes(data))


@pytest.mark.parametrize("name", ["ct", "cells"])
def test_sound_data_are_sound(name, damaged):
    status, lines = damaged(name, lambda d: None)
    assert status == 0
    assert len(lines) == 1
    assert ": no faults in " in lines[0]


MOVED = 2.5 * np.eye(4, k=3)
DAMAGES = [
    ("ct", lambda d: (d / VOLUME).unlink(), [f"{VOLUME}: is missing"]),
    ("ct", truncate(VOLUME), [f"{VOLUME}: cannot be read: Compressed file ended"]),
    ("ct", wrong_checksum, [f"{VOLUME}: cannot be read: CRC check failed"]),
    ("ct", lambda d: (d / VOLUME).write_bytes(b""), [f"{VOLUME}: cannot be read: "]),
    ("ct", lambda d: (d / VOLUME).write_bytes(gzip.compress(b"text")), [f"{VOLUME}: cannot be read: "]),
    ("ct", lambda d: rewrite(d / VOLUME, np.zeros_like), [f"{VOLUME}: is empty: background only"]),
    ("ct", lambda d: rewrite(d / SLICE, np.zeros_like), [f"{SLICE}: is empty: background only"]),
    ("ct", lambda d: rewrite(d / VOLUME, spoil(7, 9)), [f"{VOLUME}: has the labels 9, but msvm_synapse has 0 to 8"]),
    ("ct", lambda d: rewrite(d / VOLUME, spoil(7, 2.5)), [f"{VOLUME}: has the value 2.5, but class numbers must"]),
    ("ct", lambda d: rewrite(d / VOLUME.replace("label", "image"), spoil([3, 4], np.nan)),
     ["images/test/case0001.nii.gz: has 2 voxels that are NaN or infinite"]),
    ("ct", lambda d: rewrite(d / VOLUME.replace("label", "image"), spoil(3, np.inf)),
     ["images/test/case0001.nii.gz: has 1 voxels that are NaN or infinite"]),
    ("ct", lambda d: rewrite(d / VOLUME, lambda array: array[:, :-1]),
     [f"{VOLUME}: has shape (5, 5, 4), but images/test/case0001.nii.gz has (5, 6, 4)"]),
    ("ct", lambda d: rewrite(d / VOLUME, affine=nib.load(d / VOLUME).affine + MOVED),
     [f"{VOLUME}: has a different affine from images/test/case0001.nii.gz: they differ by up to 2.5 mm"]),
    ("ct", lambda d: rewrite(d / VOLUME, affine=nib.load(d / VOLUME).affine @ np.diag([2, 2, 1, 1])),
     [f"{VOLUME}: has a spacing of 1.6 × 1.6 × 3 mm, but images/test/case0001.nii.gz has 0.8 × 0.8 × 3 mm",
      f"{VOLUME}: has a different affine from images/test/case0001.nii.gz: they differ by up to 0.8 mm"]),
    ("ct", lambda d: shutil.copy(d / "images/training/case0005_slice002.nii.gz",
                                 d / "images/validation/case0009.nii.gz"),
     ["labels/validation/case0009.nii.gz: has shape (5, 6, 4), but images/validation/case0009.nii.gz has (5, 6, 1)",
      "labels/validation/case0009.nii.gz: has a different affine from images/validation/case0009.nii.gz",
      "images/validation/case0009.nii.gz: the same image as images/training/case0005_slice002.nii.gz, which is in "
      "training"]),
    ("ct", edit("datalist.json", lambda c: c["test"][0].update(label="/labels/x.nii.gz")),
     ["/labels/x.nii.gz: is not a relative path inside the data set"]),
    ("ct", edit("datalist.json", lambda c: c["test"][0].pop("label")), ["datalist.json: an item of test has no label"]),
    ("ct", edit("datalist.json", lambda c: c.pop("test")), ["datalist.json: has no list test"]),
    ("ct", edit("datalist.json", lambda c: c["training"].append(c["training"][0])),
     ["dataset.json: says 4 training items, but datalist.json has 5",
      "images/training/case0005_slice000.nii.gz: is in datalist.json 2 times",
      "labels/training/case0005_slice000.nii.gz: is in datalist.json 2 times"]),
    ("ct", edit("dataset.json", lambda c: c["labels"].update({"1": "liver", "5": "aorta"})),
     ["dataset.json: its labels are not those of msvm_synapse"]),
    ("cells", truncate("images/test/cell_00001.png"), ["images/test/cell_00001.png: cannot be read: "]),
    ("cells", lambda d: (d / "instances/test/cell_00001.png").unlink(), ["instances/test/cell_00001.png: is missing"]),
    ("cells", lambda d: redraw(d / "images/test/cell_00001.png", lambda a: a[..., 0]),
     ["images/test/cell_00001.png: is a picture of shape (40, 60) and type uint8, but height × width × 3 and uint8"]),
    ("cells", lambda d: redraw(d / "labels/test/cell_00001.png", lambda a: a[:-1]),
     ["labels/test/cell_00001.png: has shape (39, 60), but images/test/cell_00001.png has (40, 60, 3)"]),
    ("cells", lambda d: redraw(d / "labels/test/cell_00001.png", lambda a: a * 100),
     ["labels/test/cell_00001.png: has the labels 100, 200, but xlstm_cells has 0 to 2"]),
    ("cells", lambda d: redraw(d / "instances/test/cell_00001.png", np.zeros_like),
     ["instances/test/cell_00001.png: has no instance"]),
    ("cells", lambda d: redraw(d / "images/test/cell_00001.png",
                               lambda _: np.array(Image.open(d / "images/training/cell_00001.png"))),
     ["images/test/cell_00001.png: the same image as images/training/cell_00001.png, which is in training"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "how", "expected"), DAMAGES, ids=[" ".join(lines)[:60] for *_, lines in DAMAGES])
def test_damage_is_found_and_nothing_else(name, how, expected, damaged):
    status, lines = damaged(name, how)
    assert status == 1
    for line, beginning in zip(lines, expected, strict=False):
        assert line.startswith(beginning)
    if "has no list test" not in expected[0]:
        assert len(lines) == len(expected) + 1, lines
        assert f": {len(expected)} fault" in lines[-1]


def test_slice_of_a_test_volume_among_the_training_slices_is_found(damaged):
    def leak(folder):
        test = nib.load(folder / "images/test/case0001.nii.gz")
        shutil.copy(folder / SLICE.replace("label", "image"), folder / "kept.nii.gz")
        path = folder / SLICE.replace("label", "image")
        nib.save(nib.Nifti1Image(np.asarray(test.dataobj)[:, :, 3:4], nib.load(path).affine), path)

    status, lines = damaged("ct", leak)
    assert status == 1
    assert lines[0] == (
        "images/test/case0001.nii.gz (slice 3): the same image as images/training/case0005_slice001.nii.gz, "
        "which is in training"
    )
    assert len(lines) == 2


def test_labels_that_were_empty_in_the_source_are_no_fault(damaged, sound):
    def empty(folder):
        rewrite(folder / SLICE, np.zeros_like)
        edit("dataset.json", lambda content: content["empty_labels"].append(SLICE))(folder)

    status, lines = damaged("ct", empty)
    assert status == 0
    assert lines[0].endswith("; 1 labels were empty in the source")


def misspelt(folder):
    path = folder / "datalist.json"
    path.write_text(path.read_text().replace('"label"', '"lable"', 1))


@pytest.mark.parametrize(
    ("how", "more", "told"),
    [
        (lambda d: (d / "datalist.json").unlink(), [], "has no datalist.json: give a dataset_dir"),
        (lambda d: (d / "datalist.json").write_text("{"), [], "datalist.json is not valid JSON"),
        (lambda d: (d / "datalist.json").write_text("[1]"), [], "must hold lists of items by name"),
        (misspelt, [], "datalist.json: an item has the key 'lable', did you mean 'label'?"),
        (lambda d: (d / "dataset.json").unlink(), [], "has no dataset.json that names a bundle: give its name"),
        (lambda d: None, ["--bundle", "msvm_synaps"], "unknown bundle 'msvm_synaps', did you mean 'msvm_synapse'?"),
        (lambda d: None, ["--processes", "many"], "--processes needs a whole number from 1 on, not 'many'"),
    ],
)
def test_bad_usage_is_status_2(how, more, told, damaged):
    status, lines = damaged("ct", how, *more)
    assert status == 2
    assert told in lines[0]
    assert len(lines) == 1


def test_bundle_can_be_named(damaged):
    status, lines = damaged("ct", lambda d: (d / "dataset.json").unlink(), "--bundle", "msvm_synapse")
    assert status == 0
    assert "no faults" in lines[0]


def test_labels_of_another_bundle_are_found(damaged):
    status, lines = damaged("ct", lambda d: None, "--bundle", "msvm_acdc")
    assert status == 1
    assert lines[0] == "dataset.json: its labels are not those of msvm_acdc"
    assert f"{VOLUME}: has the labels 4, 5, 6, 7, 8, but msvm_acdc has 0 to 3" in lines


def test_several_processes_find_the_same(run, sound, tmp_path):
    shutil.copytree(sound / "ct", tmp_path / "ct")
    (tmp_path / "ct" / VOLUME).unlink()
    told = [run("data", "check", tmp_path / "ct", "--processes", count) for count in (1, 2)]
    assert [done.returncode for done in told] == [1, 1]
    assert told[0].stdout == told[1].stdout
    assert [done.stderr for done in told] == ["", ""]
