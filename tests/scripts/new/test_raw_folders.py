"""nnU-Net's raw folders as they are found, in ``new`` and in ``data check``."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import tifffile
import user_data as data

from components.images.reading import read
from components.images.stacks import is_stack
from scripts.cli import main
from scripts.errors import UserError
from scripts.new.measure import measure
from scripts.new.own_data import find_sources


def changed(root, **changes):
    content = json.loads((root / "dataset.json").read_text()) | changes
    (root / "dataset.json").write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.fixture
def raw(tmp_path):
    return data.raw_volumes(tmp_path / "raw", training=3, test=0)


def as_stacks(root):
    """The same data as TIFF, with the spacing beside them."""
    for folder in ("imagesTr", "labelsTr"):
        for path in sorted((root / folder).iterdir()):
            name = path.name.removesuffix(".nii.gz")
            tifffile.imwrite(path.with_name(f"{name}.tif"), np.asanyarray(nib.load(path).dataobj).T)
            case = name.rpartition("_")[0] if folder == "imagesTr" else name
            path.with_name(f"{case}.json").write_text('{"spacing": [3.0, 1.2, 1.1]}')
            path.unlink()
    changed(root, file_ending=".tif", overwrite_image_reader_writer="Tiff3DIO")


def test_stacks_are_volumes_with_the_spacing_beside_them(raw, capsys):
    before = read(raw / "imagesTr/c0_0001.nii.gz").array
    as_stacks(raw)
    found = find_sources(raw)
    assert found.spatial_dims == 3
    assert found.notes == (
        "dataset.json asks for Tiff3DIO (overwrite_image_reader_writer): files are read by their endings",
    )
    content = read(raw / "imagesTr/c0_0001.tif")
    np.testing.assert_array_equal(content.array, before)
    assert nib.aff2axcodes(content.affine) == ("L", "P", "S")
    facts = measure(found, 1).facts["c0"]
    assert (facts.shape, facts.spacing) == ((10, 24, 28), (3.0, 1.2, 1.1))
    (raw / "imagesTr/c1.json").write_text('{"spacing": [3.0, 0, 1.1]}')
    assert main(["data", "check", str(raw), "--processes=1"]) == 1
    assert "c1.json has the spacing [3.0, 0.0, 1.1], but three positive numbers are needed" in capsys.readouterr().out


def test_a_stack_without_spacing_says_what_is_missing(tmp_path):
    raw = data.raw_volumes(tmp_path / "raw", channels=("MR",), training=2, test=0)
    as_stacks(raw)
    (raw / "labelsTr/c0.json").unlink()
    with pytest.raises(UserError, match=r"c0\.tif is a picture, but .* is a volume"):
        find_sources(raw)
    for path in raw.rglob("c*.json"):
        path.unlink()
    with pytest.raises(UserError, match=r'put CASE\.json with \{"spacing": \[z, y, x\]\} beside it'):
        measure(find_sources(raw), 1)


def test_a_picture_with_a_json_file_of_something_else_stays_a_picture(tmp_path):
    for content in ('{"shapes": []}', "[1.0, 2.0]", "{"):
        (tmp_path / "a.json").write_text(content)
        assert not is_stack(tmp_path / "a.tif")
    (tmp_path / "a.json").write_text('{"spacing": [3.0, 1.2, 1.1]}')
    assert is_stack(tmp_path / "a.tif")
    assert is_stack(tmp_path / "a_0000.tif")


def test_files_that_dataset_json_names_may_lie_anywhere(raw, tmp_path, monkeypatch):
    shutil.move(raw / "imagesTr", tmp_path / "elsewhere")
    monkeypatch.setenv("LABELS", str(raw / "labelsTr"))
    cases = {
        name: {"images": [f"../elsewhere/{name}_000{n}.nii.gz" for n in (0, 1)], "label": f"$LABELS/{name}.nii.gz"}
        for name in ("c0", "c2")
    }
    changed(raw, dataset=cases)
    found = find_sources(raw)
    assert [case.name for case in found.cases] == ["c0", "c2"]
    assert measure(found, 1).facts["c2"].channels == 2
    changed(raw, dataset={"c0": {"images": [], "label": "x"}})
    with pytest.raises(UserError, match=r"dataset\.json: 'c0' of dataset needs a list images and a label"):
        find_sources(raw)


def test_files_of_other_endings_are_left_out(raw):
    for path in list((raw / "labelsTr").iterdir()):
        shutil.copy(path, path.with_name(path.name.replace(".nii.gz", "_preview.nii")))
    found = find_sources(raw)
    assert len(found.cases) == 3
    assert found.notes == ("3 other files were left out: 3 .nii, such as labelsTr/c0_preview.nii",)


def test_data_check_reads_a_raw_folder(raw, capsys):
    changed(raw, labels={"background": 0, "liver": 1, "tumour": 2, "vessel": 3})
    (raw / "imagesTs").mkdir()
    shutil.copy(raw / "imagesTr/c0_0000.nii.gz", raw / "imagesTs/c9_0000.nii.gz")
    shutil.copy(raw / "imagesTr/c0_0001.nii.gz", raw / "imagesTs/c9_0001.nii.gz")
    assert main(["data", "check", str(raw), "--processes=1"]) == 0
    *notes, last = capsys.readouterr().out.splitlines()
    assert notes == [
        "note: imagesTs has no labels (labelsTs): its images are not used",
        "note: no case has vessel",
    ]
    assert last == f"{raw}: no faults in 3 cases (3 for training, 0 for the test, 2 channels)"
    data.rewrite(raw / "labelsTr/c0.nii.gz", lambda array: array[:-1])
    data.rewrite(raw / "labelsTr/c2.nii.gz", lambda array: array + 5)
    assert main(["data", "check", str(raw), "--processes=1"]) == 1
    out = capsys.readouterr().out
    assert "c0.nii.gz has shape" in out
    assert "c2.nii.gz" in out
    assert ": 2 faults in 3 cases" in out


def test_the_first_version_names_labels_by_number(raw):
    changed(
        raw,
        channel_names=None,
        file_ending=None,
        modality={"0": "T1", "1": "T2"},
        labels={"0": "background", "1": "liver", "2": "tumour"},
        training=[{"image": "./imagesTr/c0.nii.gz", "label": "./labelsTr/c0.nii.gz"}],
    )
    found = find_sources(raw)
    assert found.channels == ("T1", "T2")
    assert found.names == {0: "background", 1: "liver", 2: "tumour"}
    assert [len(case.images) for case in found.cases] == [2, 2, 2]
