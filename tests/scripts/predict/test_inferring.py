"""The predictions are those of ``monai.bundle run inferring``, voxel for voxel."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import run
from PIL import Image
from scipy.spatial.transform import Rotation

from components.transforms import instances_of
from scripts.bundle.find import ROOT
from scripts.errors import UserError
from scripts.predict import Predictor
from tests.scripts.predict.images import SAMPLES, SMALL


def oblique(image):
    """Turn the volume in space: no axis of it is an axis of the patient any more."""
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", [10, -5, 20], degrees=True).as_matrix()
    return nib.Nifti1Image(np.asanyarray(image.dataobj), turned @ image.affine)


def written(path):
    return np.array(Image.open(path)) if path.suffix == ".png" else np.asanyarray(nib.load(path).dataobj)


@pytest.mark.parametrize("bundle", sorted(SMALL))
def test_same_arrays_as_the_bundles_own_run(bundle, tmp_path, weights, predictor, ct):
    data = tmp_path / "data"
    data.mkdir()
    if bundle in ("xlstm_cells", "xlstm_endoscopy"):
        path = data / "case.png"
        picture = np.array(Image.open(SAMPLES / "nuclei.png").convert("RGB"))[:48, :80]
        picture[:5], picture[..., 1] = 0, 255 - picture[..., 1]
        Image.fromarray(picture).save(path)
    else:
        path = data / "case.nii.gz"
        mr = nib.load(SAMPLES / "mr.nii.gz").slicer[20:70, 10:70, :8]
        nib.save(oblique(ct if bundle == "msvm_synapse" else mr), path)
    models = tmp_path / "models"
    models.mkdir()
    (models / "model.pt").symlink_to(weights(bundle))
    configs = ROOT / "bundles" / bundle / "configs"
    run(
        run_id="inferring",
        config_file=str(configs / "inference.json"),
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        bundle_root=str(ROOT / "bundles" / bundle),
        dataset_dir=str(data),
        output_dir=str(tmp_path / "output"),
        ckpt_dir=str(models),
        device="cpu",
        num_workers=0,
        **{key.replace("#", "::"): value for key, value in SMALL[bundle].items()},
    )
    prediction = predictor(bundle)(path)
    assert list(prediction.maps) == ["pred"]
    wanted = "instances" if bundle == "xlstm_cells" else "pred"
    (file,) = (tmp_path / "output" / "predictions").glob(f"case_{wanted}.*")
    theirs = written(file)
    assert prediction.labels.dtype == theirs.dtype
    np.testing.assert_array_equal(prediction.labels, theirs)
    assert len(np.unique(prediction.labels)) > 1
    if prediction.affine is not None:
        np.testing.assert_allclose(prediction.affine, nib.load(path).affine, atol=1e-6)


def test_more_than_255_instances_keep_their_numbers(predictor, tmp_path):
    dots = np.zeros((80, 96), np.uint8)
    dots[::4, ::4] = 255
    Image.fromarray(dots).save(tmp_path / "dots.png")
    made = predictor("xlstm_cells")
    network = made.network
    try:
        made.network = _Bright()
        prediction = made(tmp_path / "dots.png")
    finally:
        made.network = network
    np.testing.assert_array_equal(prediction.labels, instances_of((dots > 0).T).T)
    assert prediction.labels.max() == 20 * 24


class _Bright:
    """Instead of a network: whatever is bright is class 1."""

    def __call__(self, x):
        bright = (x[:, :1] > 1).float()
        return torch.cat([0.5 - bright, bright, bright - 9], 1)


def test_mirrored_passes_are_averaged(weights, tmp_path, ct):
    """The average does not change when the image itself is mirrored, whatever the weights are."""
    nib.save(ct, tmp_path / "case.nii.gz")
    flipped = nib.Nifti1Image(np.asanyarray(ct.dataobj)[::-1], ct.affine)  # the affine stays: a mirrored patient
    nib.save(flipped, tmp_path / "flipped.nii.gz")
    plain, mirrored = (
        Predictor("msvm_synapse", weights("msvm_synapse"), "cpu", tta=tta, override=SMALL["msvm_synapse"])
        for tta in (False, True)
    )
    one, other = (mirrored(tmp_path / name, probabilities=True) for name in ("case.nii.gz", "flipped.nii.gz"))
    np.testing.assert_allclose(one.probabilities, other.probabilities[:, ::-1], atol=1e-4)
    assert not np.allclose(one.probabilities, plain(tmp_path / "case.nii.gz", True).probabilities, atol=1e-3)


def test_config_of_mirrors_is_used_where_there_is_one(weights, nuclei, tmp_path):
    Image.fromarray(nuclei).save(tmp_path / "case.png")
    Image.fromarray(nuclei[::-1, ::-1]).save(tmp_path / "turned.png")
    made = Predictor("xlstm_cells", weights("xlstm_cells"), "cpu", tta=True, override=SMALL["xlstm_cells"])
    assert made.inferer.axes == [2, 3]
    one, other = (made(tmp_path / name, probabilities=True).probabilities for name in ("case.png", "turned.png"))
    np.testing.assert_allclose(one, other[:, ::-1, ::-1], atol=1e-3)


def test_half_precision_runs_on_the_cpu_and_stays_near(weights, predictor, ct, tmp_path):
    nib.save(ct, tmp_path / "case.nii.gz")
    made = Predictor("msvm_synapse", weights("msvm_synapse"), "cpu", amp=True, override=SMALL["msvm_synapse"])
    half, full = (
        p(tmp_path / "case.nii.gz", probabilities=True).probabilities for p in (made, predictor("msvm_synapse"))
    )
    assert not np.array_equal(half, full)
    np.testing.assert_allclose(half, full, atol=0.05)


@pytest.mark.parametrize("bundle", ["xlstm_cells", "xlstm_abdomen_mri_3d"])
def test_probabilities_belong_to_the_labels(bundle, predictor, tmp_path):
    """Where the logits are brought back to the grid, the labels are the largest probabilities, crop included."""
    if bundle == "xlstm_cells":
        picture = np.array(Image.open(SAMPLES / "nuclei.png").convert("RGB"))[:48, :80]
        picture[:9] = 0
        path, outside = tmp_path / "case.png", np.s_[:, :9]
        Image.fromarray(picture).save(path)
    else:
        image = nib.load(SAMPLES / "mr.nii.gz").slicer[20:70, 10:70, :8]
        array = np.array(image.dataobj)
        array[:9] = 0
        path, outside = tmp_path / "case.nii.gz", np.s_[:, :9]
        nib.save(nib.Nifti1Image(array, image.affine), path)
    prediction = predictor(bundle)(path, probabilities=True)
    chances = prediction.probabilities
    assert chances.shape == (len(prediction.names), *prediction.labels.shape)
    classes = chances.argmax(0)
    if bundle == "xlstm_cells":
        classes = instances_of(classes.T).T
    np.testing.assert_array_equal(classes, prediction.labels)
    np.testing.assert_allclose(chances.sum(0), 1, atol=1e-5)
    assert (chances[outside][0] == 1).all()
    assert (prediction.labels > 0).any()


def test_endless_numbers_are_no_prediction(predictor, ct, tmp_path):
    nib.save(ct, tmp_path / "case.nii.gz")
    made = predictor("msvm_synapse")
    network, made.network = made.network, lambda x: x.repeat(1, 9, 1, 1) * np.inf
    try:
        with pytest.raises(UserError, match="holds NaN or infinity"):
            made(tmp_path / "case.nii.gz")
    finally:
        made.network = network
