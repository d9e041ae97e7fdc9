"""Every command gives a perfect prediction back on the grid of its image, however the image lies in space."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.bundle import run
from scipy.spatial.transform import Rotation

from scripts.bundle.find import ROOT
from scripts.predict import InferenceBundle, Predictor
from tests.bundles.perfect import PerfectInferer

SHAPE = (8, 10, 4)
"""Each size less 1 divides 63, so that resizing to 64 pixels and back is exact."""
BUNDLE = ROOT / "bundles" / "msvm_acdc"
PERFECT = {"_target_": "tests.bundles.perfect.PerfectInferer", "num_classes": 4}


def turned(axis, angle, sizes=(3, 3, 3)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler(axis, angle, degrees=True).as_matrix() * sizes
    affine[:3, 3] = (12.5, -30, 7)
    return affine


def in_metres(image):
    changed = nib.Nifti1Image(np.asanyarray(image.dataobj), np.diag([1e-3, 1e-3, 1e-3, 1]) @ image.affine)
    changed.header.set_xyzt_units("meter", "sec")
    return changed


@pytest.fixture(scope="module")
def truth():
    """Classes 0 to 3 in blocks without any symmetry."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 2:9], labels[5:, :4, 1:], labels[:2, 7:, 2:] = 1, 2, 3
    return labels


@pytest.fixture(scope="module")
def work(tmp_path_factory, truth):
    """A data set of volumes at 45°, one of them in metres, and random weights."""
    folder = tmp_path_factory.mktemp("tied")
    lists = {"training": [], "validation": [], "test": []}
    for name, axis, angle in (("flat", "z", 45), ("upright", "x", 135), ("metres", "z", 225)):
        item = {}
        for key, dtype in (("image", np.int16), ("label", np.uint8)):
            image = nib.Nifti1Image(truth.astype(dtype), turned(axis, angle))
            item[key] = f"{name}_{key}.nii.gz"
            nib.save(in_metres(image) if name == "metres" else image, folder / item[key])
        lists["validation"].append(item)
        lists["test"].append(item)
    lists["training"] = lists["validation"][:1]
    (folder / "datalist.json").write_text(json.dumps(lists))
    return folder


def bundle_run(run_id, config, work, output, **overrides):
    run(
        run_id=run_id,
        config_file=str(BUNDLE / "configs" / config),
        logging_file=False,
        bundle_root=str(BUNDLE),
        dataset_dir=str(work),
        output_dir=str(output),
        ckpt_dir=str(output / "models"),
        device="cpu",
        num_workers=0,
        roi_size=[64, 64],
        **overrides,
    )


def itk_corners(path):
    """World positions of the corner voxels, by SimpleITK."""
    image = sitk.ReadImage(str(path))
    ends = [[(size - 1) * (n >> axis & 1) for axis, size in enumerate(image.GetSize())] for n in range(8)]
    return np.array([image.TransformIndexToPhysicalPoint(end) for end in ends])


def test_inferring_writes_maps_that_lie_on_their_images(work, truth, tmp_path):
    bundle_run("inferring", "inference.json", work, tmp_path, inferer=PERFECT, random_weights=True)
    for name in ("flat", "upright", "metres"):
        image, written = work / f"{name}_image.nii.gz", tmp_path / "predictions" / f"{name}_image_pred.nii.gz"
        np.testing.assert_array_equal(np.asanyarray(nib.load(written).dataobj), truth)
        np.testing.assert_allclose(itk_corners(written), itk_corners(image), atol=1e-4)
        for field in ("xyzt_units", "sform_code", "qform_code", "srow_x", "quatern_b", "pixdim"):
            np.testing.assert_array_equal(nib.load(written).header[field], nib.load(image).header[field])


def test_evaluating_and_validating_a_perfect_prediction_give_dice_1(work, tmp_path):
    override = {"validate::inferer": PERFECT}
    bundle_run("evaluating", "evaluate.json", work, tmp_path, random_weights=True, **override)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["cases"] == 3
    assert metrics["mean"]["strict"]["dice"] == 1
    small = {"max_epochs": 1, "val_interval": 1, "batch_size": 1, "epoch_length": 1, "cache_rate": 0.0}
    bundle_run("training", "train.json", work, tmp_path, **override, **small)
    with (tmp_path / "history.csv").open() as file:
        assert [float(row["val_mean_dice"]) for row in csv.DictReader(file)] == [1.0]


@pytest.mark.parametrize("name", ["flat", "upright", "metres"])
def test_predict_gives_the_labels_on_the_grid_of_the_image(name, work, truth, tmp_path):
    override = {"roi_size": [64, 64]}
    weights = tmp_path / "model.pt"
    torch.manual_seed(0)
    torch.save(InferenceBundle("msvm_acdc", override).get("network").state_dict(), weights)
    predictor = Predictor("msvm_acdc", weights, "cpu", override=override)
    predictor.inferer = PerfectInferer(4)
    prediction = predictor(work / f"{name}_image.nii.gz")
    np.testing.assert_array_equal(prediction.labels, truth)
    corners = np.array([[(size - 1) * (n >> axis & 1) for axis, size in enumerate(SHAPE)] + [1] for n in range(8)])
    places = (np.diag([-1, -1, 1, 1]) @ prediction.affine @ corners.T)[:3].T
    np.testing.assert_allclose(places, itk_corners(work / f"{name}_image.nii.gz"), atol=1e-4)
