"""Regions and ignored voxels, from nnU-Net's dataset.json to the scores."""

import csv
import json
import re

import nibabel as nib
import numpy as np
import pytest
import torch
import user_data as data
from monai.bundle import ConfigParser, run, verify_net_in_out

from components.losses import IgnoringDiceCELoss, RegionDiceBCELoss
from scripts.bundle.inference import InferenceBundle
from scripts.data.check import check
from scripts.data.labelling import Labelling, understood
from scripts.errors import UserError
from scripts.new.command import new
from scripts.predict.predictor import Predictor
from scripts.report.command import report
from scripts.zoo.run_checks import agreement

pytestmark = pytest.mark.filterwarnings("ignore")

REGIONS = {"background": 0, "whole": [10, 20], "core": 20}
"""Labels of the raw data: 10 and 20 become 1 and 2."""


def half_known(label):
    """Every second slice is not known."""
    label = np.array([0, 10, 20], np.uint8)[label]
    label[:, :, ::2] = 30
    return label


def raw(root, labels, order=None, change=half_known):
    data.raw_volumes(root, channels=("MR",), training=4, test=0, shape=(20, 16, 8))
    for path in (root / "labelsTr").iterdir():
        data.rewrite(path, change)
    content = json.loads((root / "dataset.json").read_text()) | {"labels": labels}
    (root / "dataset.json").write_text(json.dumps(content | ({"regions_class_order": order} if order else {})))
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trained bundle for regions with ignored slices."""
    root = tmp_path_factory.mktemp("regions")
    raw(root / "raw", {**REGIONS, "ignore": 30}, [10, 20])
    new("tumour", "xlstm_abdomen_mri_3d", str(root / "raw"), str(root), memory=4, processes=1)
    bundle = root / "tumour"
    start(bundle, "training", "train", max_epochs=1, epoch_length=1, val_interval=1)
    return bundle


def start(bundle, run_id, config, **more):
    places = {"dataset_dir": bundle / "data", "output_dir": bundle / "output", "ckpt_dir": bundle / "models"}
    file = str(bundle / "configs" / f"{config}.json")
    settings = {"bundle_root": str(bundle), **{key: str(path) for key, path in places.items()}, "num_workers": 0}
    run(run_id, config_file=file, logging_file=None, **settings, **more)


def test_goes_on_where_it_ended(made):
    start(made, "training", "train", max_epochs=2, epoch_length=1, val_interval=1, resume="true")
    history = list(csv.DictReader((made / "output/history.csv").open()))
    assert [row["epoch"] for row in history] == ["1", "2"]
    for row in history:
        assert np.isfinite(float(row["loss"]))
        each = [float(row[f"val_dice_{name}"]) for name in ("whole", "core")]
        assert float(row["val_mean_dice"]) == pytest.approx(np.mean(each), abs=1e-5)


def test_scores_are_those_of_the_known_voxels(made):
    start(made, "evaluating", "evaluate")
    start(made, "inferring", "inference")
    report(str(made / "output"), str(made / "data"))
    page = (made / "output/report.html").read_text()
    assert all(told in page for told in ("Validation: dice core", "whole</th>", "ignore"))
    rows = list(csv.DictReader((made / "output/metrics.csv").open()))
    assert [row["class"] for row in rows] == ["whole", "core"]
    (item,) = json.loads((made / "data/datalist.json").read_text())["test"]
    name = rows[0]["case"]
    truth = nib.load(made / "data" / item["label"]).get_fdata()
    prediction = nib.load(made / f"output/predictions/{name}_pred.nii.gz").get_fdata()
    assert set(np.unique(truth)) == {0, 1, 2, 3}
    assert set(np.unique(prediction)) <= {0, 1, 2}
    for row, region in zip(rows, ([1, 2], [2]), strict=True):
        # The rule of nnU-Net's evaluation.
        p, t = (np.isin(array, region) & (truth != 3) for array in (prediction, truth))
        assert float(row["strict_dice"]) == pytest.approx(2 * (p & t).sum() / (p.sum() + t.sum()), abs=1e-5)


def test_predicts_probabilities_of_regions(made):
    (item,) = json.loads((made / "data/datalist.json").read_text())["test"]
    predictor = Predictor(str(made), device="cpu")
    found = predictor(made / "data" / item["image"], probabilities=True)
    assert found.names == {0: "background", 1: "whole", 2: "core"}
    whole, core = found.probabilities > 0.5
    np.testing.assert_array_equal(found.labels, np.where(core, 2, np.where(whole, 1, 0)))
    assert predictor.bundle.heads == {0: "whole", 1: "core"}
    loader = json.loads((made / "configs" / "inference.json").read_text())["handlers"][0]
    assert loader["sigmoid"] is True  # of several weights


def test_exports(made):
    settings = {"config_file": str(made / "configs/inference.json"), "bundle_root": str(made)}
    metadata = str(made / "configs/metadata.json")
    verify_net_in_out(net_id="network_def", meta_file=metadata, device="cpu", n=2, any=32, **settings)
    network = InferenceBundle(made).get("network").eval()
    image = torch.rand(1, 1, *network.patch_size)
    with torch.no_grad():
        traced = torch.jit.trace(network, image, check_trace=False)
        assert agreement(network(image), traced(image))
    assert traced(image).shape[1] == 2


def test_the_data_are_checked(made, capsys):
    assert check(str(made / "data"), processes=1) == 0
    record = json.loads((made / "data/dataset.json").read_text())
    assert record["labels"] == {"0": "background", "1": "whole", "2": "core", "3": "ignore"}
    assert record["regions"] == {"whole": [1, 2], "core": [2]}
    assert (record["regions_class_order"], record["ignore_label"]) == ([1, 2], 3)
    known = record["classes_found"]["core"]["voxels"]
    labels = [nib.load(path).get_fdata() for path in (made / "data/labels").rglob("*.nii.gz")]
    assert known == sum((label == 2).sum() for label in labels)


def test_the_dataset_dir_of_a_bundle_is_data_for_another(made, tmp_path):
    new("tumour", "xlstm_abdomen_mri_3d", str(made / "data"), str(tmp_path), memory=4, processes=1)
    for config in ("train", "evaluate", "inference", "metadata"):
        file = f"configs/{config}.json"
        assert json.loads((tmp_path / "tumour" / file).read_text()) == json.loads((made / file).read_text())


def test_annotations_may_have_parts_of_regions_and_unknown_voxels(made):
    assert InferenceBundle(made).known == {0: "background", 1: "whole", 2: "core", 3: "ignore"}


def test_several_processes_need_no_other_loss(made):
    override = json.loads((made / "configs/multi_gpu_train.json").read_text())
    assert not [key for key in override if key.startswith("loss")]


@pytest.mark.parametrize(
    ("labels", "order", "loss"),
    [
        ({"background": 0, "a": 10, "b": 20, "ignore": 30}, None, IgnoringDiceCELoss),
        ({**REGIONS, "ignore": 30}, [10, 20], RegionDiceBCELoss),
    ],
    ids=["classes", "regions"],
)
def test_slices_that_are_not_known_are_left_out(labels, order, loss, tmp_path):
    new("organs", "msvm_acdc", str(raw(tmp_path / "raw", labels, order)), str(tmp_path), memory=4, processes=1)
    items = json.loads((tmp_path / "organs/data/datalist.json").read_text())["training"]
    assert len(items) == 2 * 4
    assert all(int(item["label"][-10:-7]) % 2 for item in items)
    config = json.loads((tmp_path / "organs/configs/train.json").read_text())
    parser = ConfigParser({key: config[key] for key in ("loss", "class_names", "num_classes", "ignore_label")} | {
        key: config[key] for key in ("regions", "regions_class_order") if key in config
    })  # fmt: skip
    made = parser.get_parsed_content("loss")
    assert isinstance(made, loss)
    assert (made.lambda_dice, made.lambda_ce, made.ignore_label) == (0.6, 0.4, 3)
    assert parser.get_parsed_content("num_classes") == (2 if order else 3)


def test_a_case_that_is_not_known_is_refused(tmp_path):
    root = raw(tmp_path / "raw", {"background": 0, "a": 10, "b": 20, "ignore": 30}, change=lambda a: a * 0 + 30)
    with pytest.raises(UserError, match="all voxels are ignored"):
        new("organs", "xlstm_abdomen_mri_3d", str(root), str(tmp_path), memory=4, processes=1)


@pytest.mark.parametrize("name", ["core #1", "core::1", "$core", "@core", "%core"])
def test_names_that_mean_something_in_configs_are_refused(name, tmp_path):
    root = raw(tmp_path / "raw", {"background": 0, "whole": [10, 20], name: 20}, [10, 20], lambda a: a * 10)
    with pytest.raises(UserError, match=f"has a class '{re.escape(name)}', whose name means something else"):
        new("organs", "xlstm_abdomen_mri_3d", str(root), str(tmp_path), memory=4, processes=1)


def test_labels_as_nnunet_has_them():
    names, found = understood({"background": 0, "kidney": [1, 2, 3], "mass": [2, 3], "tumour": 2}, [1, 3, 2])
    assert names == {0: "background", 1: "kidney", 2: "tumour", 3: "mass"}
    assert found == Labelling({"kidney": (1, 2, 3), "mass": (2, 3), "tumour": (2,)}, (1, 3, 2))
    assert understood({"background": 0, "a": [1], "b": "2", "ignore": 3}, None)[1] == Labelling(ignore=3)


@pytest.mark.parametrize(
    ("labels", "order", "told"),
    [
        ({"a": [1, 2], "b": 2}, None, r"\"regions_class_order\" is missing, but a list of labels is needed"),
        ({"a": [1, 2], "b": 2}, [1], "one for each of the regions: a, b"),
        ({"a": [1, 2], "b": 2}, [2, 1], "writes 1 for 'b', which is not among its labels 2"),
        ({"a": [1, 2], "b": [1, 2]}, [1, 1], "each region needs a label of its own"),
        ({"a": [1, 2], "ignore": 2}, [1], "the label 'ignore' is 2, but one number above all others is needed.*: 3"),
        ({"a": 1, "ignore": [2, 3]}, None, "the label 'ignore' is 2, 3"),
        ({"a": [0, 1]}, None, "whole numbers from 1 on"),
        ({"a": [1, "x"]}, None, "class 'a' has the number 'x'"),
    ],
)
def test_labels_that_cannot_be(labels, order, told):
    with pytest.raises(ValueError, match=told):
        understood({"background": 0, **labels}, order)
