"""A cascade: the low resolution's network first, and one that also sees its label map."""

import csv
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
import user_data as data
from monai.bundle import ConfigParser, run

from scripts.cli import main
from scripts.errors import UserError, root_cause
from scripts.folds.pairs import places_of
from scripts.new import search
from scripts.new.command import new
from scripts.predict.predictor import Predictor
from scripts.zoo.verify import check_bundle

pytestmark = pytest.mark.filterwarnings("ignore")

SHORT = {"max_epochs": 1, "epoch_length": 1, "val_interval": 1}


def start(bundle, run_id, config, **more):
    places = {} if "fold" in more else {"output_dir": str(bundle / "output")}
    settings = {"bundle_root": str(bundle), "dataset_dir": str(bundle / "data"), **places, "num_workers": 0}
    run(run_id, config_file=str(bundle / "configs" / f"{config}.json"), logging_file=None, **{**settings, **more})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Both bundles, for images of two channels, with weights of two folds of the low resolution and of fold 0."""
    root = tmp_path_factory.mktemp("cascade")
    raw = data.raw_volumes(root / "raw", training=4, shape=(24, 20, 16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "LOW_BELOW", 1.4)  # volumes as large as the patch get a lower resolution
        new("x", "xlstm_abdomen_mri_3d", str(raw), str(root), configuration="3d_cascade", folds=2, processes=1)
    low, cascade = root / "x_3d_lowres", root / "x_3d_cascade"
    with pytest.raises(RuntimeError) as caught:
        start(cascade, "training", "train", fold=0, **SHORT)
    told = str(root_cause(caught.value))
    assert "x_3d_lowres/output/fold_1/predictions/" in told.replace("\\", "/")
    assert "is missing: `scanseg run training BUNDLE --folds all`" in told
    for fold in (0, 1):
        start(low, "training", "train", fold=fold, **SHORT)
        start(low, "evaluating", "evaluate", fold=fold)
    start(low, "inferring", "inference", folds="all")
    start(cascade, "training", "train", fold=0, **SHORT)
    return cascade


def parser(bundle, config, **overrides):
    found = ConfigParser(json.loads((bundle / f"configs/{config}.json").read_text()))
    for key, value in {"bundle_root": str(bundle), **overrides}.items():
        found[key] = value
    return found


def name_of(item):
    """Name of the file of the first channel, without endings."""
    return item["image"][0].rpartition("/")[2].partition(".")[0]


def test_every_case_comes_with_the_map_of_the_network_that_has_not_seen_it(made):
    items = json.loads((made / "data/datalist.json").read_text())["training"]
    folds = {name_of(item): item["fold"] for item in items}
    for fold, trained in ((0, [1]), (1, [0]), (None, [0, 1])):
        found = parser(made, "train", fold=fold).get_parsed_content("train#dataset#data")
        for item in found:
            number = folds[name_of(item)]
            assert number in trained
            wanted = made.parent / f"x_3d_lowres/output/fold_{number}/predictions/{name_of(item)}_pred.nii.gz"
            assert wanted.samefile(item["previous"])


def test_the_network_sees_the_channels_and_the_map(made):
    config = parser(made, "train", fold=0)
    (item, *_) = config.get_parsed_content("validate#dataset#data")
    shown = config.get_parsed_content("validate#preprocessing")(item)["image"]
    turned = nib.orientations.axcodes2ornt("SPL")
    *images, labels = (
        nib.load(path).as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(nib.load(path).affine), turned))
        for path in (*item["image"], item["previous"])
    )
    assert shown.shape[0] == 4
    assert np.unique(labels.get_fdata()).size > 1
    for number in (1, 2):
        np.testing.assert_array_equal(shown[1 + number], labels.get_fdata() == number)
    for channel, image in enumerate(images):
        z_score = (image.get_fdata() - image.get_fdata().mean()) / image.get_fdata().std()
        np.testing.assert_allclose(shown[channel], z_score, atol=1e-4)
    patch = config.get_parsed_content("train#dataset")[0]
    assert patch["image"].shape == (4, *config["patch_size"])
    assert set(np.unique(patch["image"][2:])) <= {0, 1}
    assert "previous" not in patch


def test_goes_on_where_it_ended_and_is_scored(made):
    start(made, "training", "train", fold=0, **{**SHORT, "max_epochs": 2, "resume": "true"})
    history = list(csv.DictReader((made / "output/fold_0/history.csv").open()))
    assert [row["epoch"] for row in history] == ["1", "2"]
    start(made, "evaluating", "evaluate", fold=0)
    assert len(json.loads((made / "output/fold_0/metrics.json").read_text())["classes"]) == 2


def test_predict_runs_the_previous_stage_first(made, tmp_path):
    start(made, "inferring", "inference", folds="0")
    (expected,) = (made / "output/predictions").glob("*_pred.nii.gz")
    weights, scans = made / "models/fold_0/model.pt", made.parent / "raw/imagesTs"
    words = ["--bundle", made, "--input", scans, "--output", tmp_path, "--weights", weights, "--device", "cpu"]
    assert main(["predict", *map(str, words), "--nnunet_names"]) == 0
    (found,) = tmp_path.glob("*.nii.gz")
    np.testing.assert_array_equal(nib.load(found).get_fdata(), nib.load(expected).get_fdata())

    predictor = Predictor(made, device="cpu", weights=weights)
    assert [path.parent.name for path in predictor.previous.weights] == ["fold_0", "fold_1"]
    assert predictor.bundle.channels == 2
    held_out = Predictor(made, device="cpu", folds=[0])
    assert [path.parent.name for path in held_out.previous.weights] == ["fold_0"]
    assert torch.is_tensor(next(held_out.network.parameters()))


def test_weights_of_both_stages_elsewhere(made, tmp_path):
    places = places_of(made, tmp_path)
    assert places == {"ckpt_dir": str(tmp_path / made.name), "previous_ckpt_dir": str(tmp_path / "x_3d_lowres")}
    for name in (made.name, "x_3d_lowres"):
        shutil.copytree(made.parent / name / "models/fold_0", tmp_path / name / "fold_0")
    moved = Predictor(made, device="cpu", folds=[0], override=places)
    for stage, name in ((moved, made.name), (moved.previous, "x_3d_lowres")):
        assert stage.weights == [tmp_path / name / "fold_0" / "model.pt"]
    assert places_of(made, None) == {}


def test_a_cascade_needs_its_previous_stage(made, tmp_path):
    alone = tmp_path / "alone"
    shutil.copytree(made / "configs", alone / "configs")
    with pytest.raises(UserError, match=r"x_3d_lowres, the bundle of its previous stage, does not exist: put it there"):
        Predictor(alone, device="cpu")
    shutil.copytree(made.parent / "x_3d_lowres/configs", tmp_path / "x_3d_lowres/configs")
    with pytest.raises(UserError, match=r"there are no weights at .*x_3d_lowres/models/model.pt"):
        Predictor(alone, device="cpu")


def test_is_verified_without_the_label_maps_of_the_previous_stage(made, tmp_path):
    copy = tmp_path / made.name
    shutil.copytree(made, copy, ignore=shutil.ignore_patterns("output", "models"))
    found = check_bundle(str(copy), ["train properties", "inference properties"])
    assert [(result.check, result.why) for result in found if result.status != "ok"] == []


def test_without_folds_there_is_none(made, tmp_path, capsys):
    raw = made.parent / "raw"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "LOW_BELOW", 1.4)
        with pytest.raises(UserError, match=r"networks have not seen: give --folds 5"):
            new("x", "xlstm_abdomen_mri_3d", str(raw), str(tmp_path), configuration="3d_cascade", processes=1)
        new("x", "xlstm_abdomen_mri_3d", str(raw), str(tmp_path), configuration="all", processes=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x_2d", "x_3d", "x_3d_lowres"]
    assert "with --folds 5 it would be planned as well" in capsys.readouterr().out
    with pytest.raises(UserError, match="is a cascade: start from the bundle that it was made from"):
        new("x", str(made), str(raw), str(tmp_path / "out"), processes=1)
