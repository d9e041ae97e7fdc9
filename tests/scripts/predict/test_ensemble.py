"""Averages of what several bundles have written."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from scripts.cli import main
from scripts.predict.predictor import Prediction
from scripts.predict.writing import write_prediction

NAMES = {0: "background", 1: "liver", 2: "spleen"}
AFFINE = np.array([[0.0, -1.5, 0, 20], [2, 0, 0, -7], [0, 0, 3, 4], [0, 0, 0, 1]])


def chances(seed, shape):
    values = np.random.default_rng(seed).random((3, *shape), dtype=np.float32)
    return values / values.sum(0)


@pytest.fixture
def written(tmp_path):
    """Two folders as predict leaves them, with a volume and a picture."""
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "labels.json").write_text(json.dumps(NAMES))
        for name, shape in (("ct", (5, 4, 3)), ("frame", (6, 7))):
            affine = AFFINE if len(shape) == 3 else None
            image = None if affine is None else nib.Nifti1Image(np.zeros(shape, np.float32), affine)
            ending = "npz" if affine is None else "nii.gz"
            write_prediction(
                folder,
                {"probabilities": f"{name}_probabilities.{ending}"},
                Prediction({}, NAMES, affine, chances(seed, shape)),
                SimpleNamespace(image=image),
                SimpleNamespace(heads=NAMES),
                "",
            )
    return tmp_path


def test_label_maps_of_the_average(written, capsys):
    line = ["ensemble", str(written / "0"), str(written / "1"), "--output", str(written / "both")]
    assert main(line) == 0
    volume = nib.load(written / "both" / "ct_pred.nii.gz")
    assert np.array_equal(volume.affine, AFFINE)
    assert volume.get_data_dtype() == np.uint8
    mean = chances(0, (5, 4, 3)) + chances(1, (5, 4, 3))
    assert np.array_equal(np.asarray(volume.dataobj), mean.argmax(0))
    mean = chances(0, (6, 7)) + chances(1, (6, 7))
    assert np.array_equal(np.array(Image.open(written / "both" / "frame_pred.png")), mean.argmax(0))
    assert json.loads((written / "both" / "labels.json").read_text()) == {str(n): name for n, name in NAMES.items()}
    assert main(line) == 2
    assert "exists: give another --output" in capsys.readouterr().err


def test_regions_are_written_one_after_the_other(written, capsys):
    folders = [written / "0", written / "1"]
    for folder in folders:
        path = folder / "ct_probabilities.nii.gz"
        nib.save(nib.load(path).slicer[..., :2], folder / "two.nii.gz")
        (folder / "two.nii.gz").rename(path)
        picture = np.load(folder / "frame_probabilities.npz")["probabilities"][:2]
        np.savez_compressed(folder / "frame_probabilities.npz", probabilities=picture)
        (folder / "labels.json").write_text('{"0": "background", "1": "whole", "2": "core"}')
    line = ["ensemble", *map(str, folders), "--output", str(written / "both")]
    (folders[0] / "channels.json").write_text('{"0": "core", "1": "whole"}')
    assert main(line) == 2
    assert "has other labels" in capsys.readouterr().err
    (folders[1] / "channels.json").write_text('{"0": "core", "1": "whole"}')
    assert main(line) == 0
    for shape, found in (
        ((5, 4, 3), np.asarray(nib.load(written / "both" / "ct_pred.nii.gz").dataobj)),
        ((6, 7), np.array(Image.open(written / "both" / "frame_pred.png"))),
    ):
        core, whole, _ = (chances(0, shape) + chances(1, shape)) / 2
        np.testing.assert_array_equal(found, np.where(whole > 0.5, 1, np.where(core > 0.5, 2, 0)))
        assert set(np.unique(found)) == {0, 1, 2}


def test_names_of_nnunet(written, capsys):
    folders = [written / "0", written / "1"]
    for folder in folders:
        (folder / "frame_probabilities.npz").unlink()
    line = ["ensemble", *map(str, folders), "--output", str(written / "both"), "--nnunet_names"]
    assert main(line) == 2
    assert f"{folders[0]} has no dataset.json: predict with --nnunet_names" in capsys.readouterr().err
    known = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "spleen": 2}}
    (folders[0] / "dataset.json").write_text(json.dumps({**known, "file_ending": ".nrrd"}))
    (folders[0] / "plans.json").write_text('{"label_manager": "LabelManager"}')
    assert main(line) == 0
    assert {path.name for path in (written / "both").iterdir()} == {
        "ct.nii.gz", "labels.json", "dataset.json", "plans.json",
    }  # fmt: skip
    assert json.loads((written / "both" / "dataset.json").read_text()) == {**known, "file_ending": ".nii.gz"}


def test_what_cannot_be_averaged(written, capsys):
    def told(*folders):
        assert main(["ensemble", *map(str, folders), "--output", str(written / "out")]) == 2
        return capsys.readouterr().err

    assert "needs 2 folders" in told(written / "0")
    assert main(["ensemble", str(written / "0"), str(written / "1")]) == 2
    assert "missing --output; see scanseg ensemble --help" in capsys.readouterr().err
    assert "has no probabilities" in told(written / "0", written)
    (written / "1" / "frame_probabilities.npz").unlink()
    assert "frame_probabilities.npz is in one of" in told(written / "0", written / "1")
    (written / "0" / "frame_probabilities.npz").unlink()
    path = written / "1" / "ct_probabilities.nii.gz"
    nib.save(nib.load(path).slicer[..., :2], path.with_name("x.nii.gz"))
    path.with_name("x.nii.gz").rename(path)
    assert "2 channels, but 3 are named beside it" in told(written / "0", written / "1")
    (written / "1" / "labels.json").write_text('{"0": "background", "1": "liver"}')
    assert "has other labels" in told(written / "0", written / "1")
