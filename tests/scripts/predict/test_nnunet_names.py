"""Names as nnU-Net has them, of channels and of label maps."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import tifffile

from components.images.volumes import read_volume
from scripts.errors import UserError
from scripts.predict import InferenceBundle, predict
from scripts.predict.cases import find_cases
from scripts.predict.nnunet import by_channels, write_description
from scripts.predict.reading import load_case

VOLUMES = "xlstm_abdomen_mri_3d"


@pytest.fixture
def scans(tmp_path):
    (tmp_path / "imagesTs").mkdir()
    return tmp_path / "imagesTs"


def test_label_maps_are_called_like_their_cases(ct, scans, arguments, tmp_path, capsys):
    nib.save(ct, scans / "liver_001_0000.nii.gz")
    nib.save(ct, scans / "plain.nii")
    out = tmp_path / "out"
    words = {"input": str(scans), "output": str(out), "nnunet_names": True, **arguments(VOLUMES)}
    with pytest.raises(UserError, match=r"would end in \.nii and \.nii\.gz, but .* names one ending: give --format"):
        predict(**words)
    words["format"] = "nii.gz"
    assert predict(**words) == 0
    assert {path.name for path in out.iterdir() if ".nii" in path.name} == {"liver_001.nii.gz", "plain.nii.gz"}
    np.testing.assert_allclose(nib.load(out / "liver_001.nii.gz").affine, ct.affine, atol=1e-5)
    content = json.loads((out / "dataset.json").read_text())
    assert content["file_ending"] == ".nii.gz"
    assert content["labels"] == {name: number for number, name in InferenceBundle(VOLUMES).labels.items()}
    assert json.loads((out / "plans.json").read_text()) == {"label_manager": "LabelManager"}
    capsys.readouterr()
    assert predict(**words) == 0
    assert "0 done, 2 skipped" in capsys.readouterr().out


def test_channels_are_put_together(ct, scans):
    array = np.asanyarray(ct.dataobj)
    for case, channels in (("a", (0, 1)), ("b", (0,)), ("c", (0, 1, 2)), ("d", (0, 1))):
        for number in channels:
            size = 3 if (case, number) == ("d", 1) else None
            image = nib.Nifti1Image(array[..., :size] + number, ct.affine)
            nib.save(image, scans / f"{case}_{number:04d}.nii.gz")
    cases = by_channels(find_cases(scans)[0], 2)
    assert [(case.name, len(case.files)) for case in cases] == [("a", 2), ("b", 1), ("c", 3), ("d", 2)]
    assert [case.fault for case in cases] == [
        "",
        "b has no file of the channel _0001",
        "c has 3 files, one for each channel, but the bundle takes 2",
        "",
    ]
    bundle = InferenceBundle(VOLUMES)
    bundle.takes["num_channels"] = 2
    found = load_case(cases[0], bundle)
    assert found.shape == array.shape
    np.testing.assert_array_equal(np.asanyarray(found.image.dataobj), np.stack([array, array + 1], -1))
    with pytest.raises(UserError, match=r"its channel d_0001\.nii\.gz has shape"):
        load_case(cases[3], bundle)


def test_stacks_give_stacks(ct, scans, arguments, tmp_path):
    array = np.asanyarray(ct.dataobj)
    tifffile.imwrite(scans / "a_0000.tif", array.T)
    (scans / "a.json").write_text('{"spacing": [7.5, 0.9, 0.8]}')
    out = tmp_path / "out"
    assert predict(input=str(scans), output=str(out), nnunet_names=True, **arguments(VOLUMES)) == 0
    assert tifffile.imread(out / "a.tif").shape == array.T.shape
    assert json.loads((out / "a.json").read_text()) == {"spacing": [7.5, 0.9, 0.8]}
    assert read_volume(out / "a.tif").shape == array.shape
    assert json.loads((out / "dataset.json").read_text())["file_ending"] == ".tif"


def test_the_channels_of_a_datalist_are_one_case(ct, scans):
    for number in range(2):
        nib.save(ct, scans / f"a_{number:04d}.nii.gz")
    items = [{"image": ["a_0000.nii.gz", "a_0001.nii.gz"]}]
    (scans / "datalist.json").write_text(json.dumps({"test": items}))
    (case,) = find_cases(scans)[0]
    assert [path.name for path in case.files] == items[0]["image"]


def test_regions_and_ignored_voxels_are_described_as_nnunet_has_them(tmp_path):
    values = {"regions": [[1, 2], [2]], "regions_class_order": [1, 2], "ignore_label": 3}
    bundle = SimpleNamespace(
        takes={"channel_def": {"0": "MR", "1": "whole by the previous stage"}},
        channels=1,
        takes_regions=True,
        heads={0: "whole", 1: "core"},
        get=values.get,
    )
    write_description(tmp_path, bundle, ".nii.gz", False)
    assert json.loads((tmp_path / "dataset.json").read_text()) == {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3},
        "regions_class_order": [1, 2],
        "file_ending": ".nii.gz",
    }
