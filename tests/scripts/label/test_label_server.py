"""The real server: bundles answer as they do by themselves, learn from submitted labels, and refuse bad weights."""

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.folders import folder
from tests.scripts.label.server import is_installed, serving
from tests.scripts.label.tiny import studies, tiny_bundle

BUNDLES = ("xlstm_abdomen_mri_3d", "msvm_synapse", "xlstm_endoscopy")

pytestmark = [
    pytest.mark.skipif(
        not is_installed(),
        reason="MONAI Label is not installed: `bash scripts/label_server.sh --help` makes .venv-label; or name the "
        "Python of another environment in SCANSEG_LABEL_PYTHON",
    ),
    pytest.mark.xdist_group("label"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with three bundles, and for each of them three images among the studies."""
    with folder(tmp_path_factory, "label") as work:
        for name in ("bundles", "studies", "labels"):
            (work / name).mkdir()
        made = {name: tiny_bundle(name, work / "bundles") for name in BUNDLES}
        images = {name: studies(name, work / "studies", work / "labels") for name in BUNDLES}
        with serving(
            work, "--studies", "studies", "--bundles", ",".join(map(str, made.values())), "--app", "app"
        ) as server:
            yield work, server, images


def array(path):
    """Values, and the affine of a volume."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path)), None
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


def answer(server, bundle, image, work):
    """The label map that the server sends."""
    reply = server.infer(bundle, image, device="cpu")
    assert reply.status_code == 200, reply.text
    path = work / f"answer{'.png' if image.startswith('picture') else '.nii.gz'}"
    path.write_bytes(reply.content)
    return array(path)


def own_inference(bundle, image, work):
    """The label map of the bundle's own inference."""
    root, one = work / "bundles" / bundle, work / "one" / bundle
    one.mkdir(parents=True)
    source = next((work / "studies").glob(f"{image}.*"))
    (one / source.name).symlink_to(source)
    monai.bundle.run(
        run_id="inferring",
        bundle_root=str(root),
        config_file=str(root / "configs" / "inference.json"),
        logging_file=False,
        dataset_dir=str(one),
        output_dir=str(work / "output"),
    )
    suffix = ".png" if source.suffix == ".png" else ".nii.gz"
    return array(work / "output" / "predictions" / f"{image}_pred{suffix}"), array(source)


def test_info_has_the_bundles_with_their_classes(served):
    _, server, _ = served
    info = server.get("/info/").json()
    assert set(info["models"]) == set(info["trainers"]) == set(BUNDLES)
    assert info["models"]["msvm_synapse"]["labels"]["gallbladder"] == 2
    assert {name: model["dimension"] for name, model in info["models"].items()} == dict(
        zip(BUNDLES, (3, 3, 2), strict=True)
    )
    assert info["datastore"]["total"] == 9
    assert info["trainers"]["xlstm_endoscopy"]["config"]["model_filename"] == ["model.pt"]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_inference_and_training(served, bundle):
    work, server, images = served
    names = [name for name, _, _ in images[bundle]]
    first, affine = answer(server, bundle, names[0], work)
    (expected, expected_affine), (image, image_affine) = own_inference(bundle, names[0], work)
    assert first.shape == expected.shape == image.shape[: first.ndim]
    assert np.mean(first == expected) >= 0.999
    assert len(np.unique(first)) > 1
    if affine is not None:
        np.testing.assert_allclose(affine, image_affine, atol=1e-4)
        np.testing.assert_allclose(expected_affine, image_affine, atol=1e-4)

    weights = work / "app" / "model" / bundle / "models" / "model.pt"
    before, source = weights.read_bytes(), work / "bundles" / bundle / "models" / "model.pt"
    assert before == source.read_bytes()
    for name, label, told in images[bundle]:
        server.submit(name, label, told)
    # As 3D Slicer sends it: with all options, an empty run_id among them.
    task = server.train(bundle, max_epochs=1, val_split=0.34, device="cpu", run_id="", epoch_length=1, batch_size=2)
    assert task["status"] == "DONE", task["details"]
    for name in names:
        server.withdraw(name)
    assert source.read_bytes() == before
    assert weights.read_bytes() != before
    history = (work / "app" / "model" / bundle / "output" / "history.csv").read_text().splitlines()
    assert len(history) == 2
    assert "val_mean_dice" in history[0]
    again, _ = answer(server, bundle, names[0], work)
    assert again.shape == first.shape
    assert np.any(again != first)


def test_batch_inference_saves_labels(served):
    work, server, images = served
    name = images["msvm_synapse"][0][0]
    reply = server.infer_all("msvm_synapse", images=[name], device="cpu")
    assert reply.status_code == 200, reply.text
    expected, _ = answer(server, "msvm_synapse", name, work)
    saved, _ = array(work / "studies" / "labels" / "original" / f"{name}.nii.gz")
    np.testing.assert_array_equal(saved, expected)


def test_training_that_cannot_be(served):
    _, server, images = served
    reply = server.train_now("msvm_synapse", max_epochs=1)
    assert reply.status_code == 422
    assert "no study for msvm_synapse has a final label yet" in reply.json()["detail"]
    assert "batch_size must be a number" in server.train_now("msvm_synapse", batch_size="x").json()["detail"]
    assert "max_epochs must be above 0" in server.train_now("msvm_synapse", max_epochs=0).json()["detail"]
    assert "val_split must be from 0" in server.train_now("msvm_synapse", val_split=1).json()["detail"]
    name, label, told = images["msvm_synapse"][0]
    server.submit(name, label, [{**told[0], "name": "tumour"}, *told[1:]])
    reply = server.train_now("msvm_synapse", max_epochs=1)
    server.withdraw(name)
    assert reply.status_code == 422
    assert "the segment 'tumour' is not a class" in reply.json()["detail"]


def test_weights_that_do_not_fit_are_refused(served):
    work, server, images = served
    weights = work / "app" / "model" / "msvm_synapse" / "models" / "model.pt"
    good, name = weights.read_bytes(), images["msvm_synapse"][0][0]
    try:
        weights.write_bytes((work / "bundles" / "xlstm_endoscopy" / "models" / "model.pt").read_bytes())
        reply = server.infer("msvm_synapse", name)
        assert reply.status_code == 422
        assert "does not fit the network of msvm_synapse" in reply.json()["detail"]
        weights.unlink()
        reply = server.infer("msvm_synapse", name)
        assert reply.status_code == 422
        assert "model.pt is missing" in reply.json()["detail"]
        assert "model.pt is missing" in server.train_now("msvm_synapse").json()["detail"]
    finally:
        weights.write_bytes(good)
    assert server.infer("msvm_synapse", name).status_code == 200


@pytest.mark.parametrize(
    ("bundle", "image", "status", "reason"),
    [
        ("msvm_acdc", "ct0", 404, "there is no model 'msvm_acdc'"),
        ("msvm_synapse", "ct9", 404, "there is no image 'ct9'"),
        ("msvm_synapse", "picture0", 422, "picture0.png does not fit msvm_synapse"),
        ("xlstm_endoscopy", "mr0", 422, "mr0.nii.gz does not fit xlstm_endoscopy"),
    ],
)
def test_requests_that_make_no_sense(served, bundle, image, status, reason):
    _, server, _ = served
    reply = server.infer(bundle, image)
    assert reply.status_code == status
    assert reason in reply.json()["detail"]


def test_pages_of_other_servers_may_not_read(served):
    _, server, _ = served
    reply = server.get("/info/", headers={"Origin": "http://elsewhere.example"})
    assert "access-control-allow-origin" not in reply.headers
