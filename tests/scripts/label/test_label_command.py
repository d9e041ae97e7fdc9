"""``scanseg label``: what is wrong is said in one line before anything is started, and weights are never lost."""

import json
import re
import shutil
import socket

import pytest
import torch
from monai.bundle import ConfigParser

from scripts.bundle.inference import InferenceBundle
from scripts.errors import UserError
from scripts.label.command import label
from scripts.label.folder import make_app, place_weights
from tests.folders import folder
from tests.scripts.label.tiny import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    with folder(tmp_path_factory, "bundles") as bundles:
        yield tiny_bundle("msvm_acdc", bundles)


@pytest.fixture
def studies(tmp_path):
    (tmp_path / "studies").mkdir()
    return tmp_path / "studies"


def test_error_is_one_line(run, tmp_path):
    done = run("label", "--studies", "nothing", "--bundles", "msvm_acdc", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "scanseg: --studies nothing is not a folder: give the folder with the images\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"bundles": "msvm_adcd"}, "unknown bundle 'msvm_adcd', did you mean 'msvm_acdc'?"),
        ({"bundles": "msvm_acdc,msvm_acdc"}, "msvm_acdc twice"),
        ({"bundles": ","}, "needs the name of a bundle"),
        ({"bundles": "xlstm_cells"}, "has no images for xlstm_cells, which needs pictures (.png"),
        ({"host": "nowhere.invalid"}, "not an address of this machine"),
    ],
)
def test_arguments_that_make_no_sense(studies, tmp_path, changed, reason):
    (studies / "heart.nii.gz").touch()
    arguments = {"studies": str(studies), "bundles": "msvm_acdc", "app": str(tmp_path / "app"), **changed}
    with pytest.raises(UserError, match=re.escape(reason)):
        label(**arguments)
    assert not (tmp_path / "app").exists()


def test_studies_in_subfolders_only(studies, tmp_path):
    (studies / "deeper").mkdir()
    (studies / "deeper" / "heart.nii.gz").touch()
    with pytest.raises(UserError, match="in its subfolders only"):
        label(str(studies), "msvm_acdc", str(tmp_path / "app"))


def test_port_that_is_taken(studies, tmp_path):
    (studies / "heart.nii.gz").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} of 127\.0\.0\.1 cannot be used .*: give another"):
            label(str(studies), "msvm_acdc", str(tmp_path / "app"), port=port)


def test_bundle_without_weights(tmp_path):
    bare = tiny_bundle("msvm_acdc", tmp_path, weights=False)
    with pytest.raises(UserError, match=r"msvm_acdc has no weights.*zoo fetch.*weights convert.*train"):
        list(make_app(tmp_path / "app", [InferenceBundle(bare)]))


def test_weights_that_do_not_fit_are_refused_at_the_start(bundle, tmp_path):
    other = shutil.copytree(bundle, tmp_path / "msvm_acdc")
    torch.save({"stem.weight": torch.zeros(1)}, other / "models" / "model.pt")
    with pytest.raises(UserError, match="does not fit the network of msvm_acdc"):
        list(make_app(tmp_path / "app", [InferenceBundle(other)]))


def test_bundle_of_another_release_is_refused(bundle, tmp_path):
    other = shutil.copytree(bundle, tmp_path / "msvm_acdc")
    config = other / "configs" / "inference.json"
    content = json.loads(config.read_text())
    content["network_def"]["_requires_"][-1]["version"] = "99.0.0"
    config.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"needs components 99\.0\.0"):
        list(make_app(tmp_path / "app", [InferenceBundle(other)]))


def test_app_has_a_copy_that_follows_the_bundle_until_it_is_trained(bundle, tmp_path):
    source = shutil.copytree(bundle, tmp_path / "msvm_acdc")
    opened, models = InferenceBundle(source), tmp_path / "app" / "models"
    ours, copy = source / "models" / "model.pt", models / "model.pt"
    assert list(place_weights(opened, models)) == []
    assert copy.read_bytes() == ours.read_bytes()
    assert not copy.is_symlink()
    ours.write_bytes(b"new weights of the bundle")
    assert list(place_weights(opened, models)) == []
    assert copy.read_bytes() == b"new weights of the bundle"
    copy.write_bytes(b"trained in the server")
    (note,) = place_weights(opened, models)
    assert "weights trained in this server" in note
    ours.write_bytes(b"newer weights of the bundle")
    _, note = place_weights(opened, models)
    assert f"to start from it, delete {models}" in note
    assert copy.read_bytes() == b"trained in the server"
    ours.unlink()
    assert len(list(place_weights(opened, models))) == 1
    assert copy.read_bytes() == b"trained in the server"
    shutil.rmtree(models)
    with pytest.raises(UserError, match="has no weights"):
        list(place_weights(opened, models))


def test_app_folder_is_one_that_monai_label_can_load(bundle, tmp_path):
    assert list(make_app(tmp_path / "app", [InferenceBundle(bundle)])) == []
    compile((tmp_path / "app" / "main.py").read_text(), "main.py", "exec")
    config = tmp_path / "app" / "model" / "msvm_acdc" / "configs" / "train.json"
    assert ConfigParser(json.loads(config.read_text()))["class_names"] == InferenceBundle(bundle).get("class_names")
