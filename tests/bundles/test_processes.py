"""Two processes do what one does: the same scores, and the same training with the batch divided among them."""

import json
import re

import pytest
import torch
from monai.bundle import ConfigParser

from scripts.cli import main
from tests.bundles.test_workflow import history
from tests.bundles.workflow import ROOT, SIZES, TINY, TRAINING, configs, run

BUNDLES = ["msvm_acdc", "xlstm_endoscopy"]
NETWORKS = {
    "msvm_acdc": {
        "network_def#_target_": "tests.bundles.fixed_norms.FixedNorms",
        "roi_size": "[64, 64]",
        "learning_rate": 0.005,
        **TINY["msvm"],
    },
    # With few levels no instance normalisation is over 2 pixels only, where rounding becomes anything.
    "xlstm_endoscopy": {"learning_rate": 0.001, **TINY["xlstm"]},
}
PLAIN = {
    "augmentation": {
        "_target_": "ResizeWithPadOrCropd",
        "keys": ["image", "label"],
        "spatial_size": "@size",
    },
    "train#dataset": {
        "_target_": "Dataset",
        "data": "$monai.data.load_decathlon_datalist(os.path.join(@dataset_dir, 'datalist.json'), "
        "data_list_key='training', base_dir=@dataset_dir)[:4]",
        "transform": "@train#preprocessing",
    },
}
"""Four cases without augmentation, in their order."""


@pytest.fixture(params=BUNDLES, scope="module")
def bundle(request):
    return request.param


@pytest.fixture(scope="module")
def work(bundle, tmp_path_factory):
    """A folder with the bundle's sample."""
    folder = tmp_path_factory.mktemp(bundle)
    assert main(["data", "sample", "--bundle", bundle, "--out", str(folder / "data")]) == 0
    return folder


def small(bundle):
    """Settings of a small network on small windows, without those of its training."""
    network = {key: value for key, value in TINY[bundle.partition("_")[0]].items() if key.startswith("network_def")}
    return {**SIZES[bundle], **network}


def made_weights(bundle, path):
    parser = ConfigParser()
    parser.read_config(configs(bundle) / "evaluate.json")
    parser.update({"bundle_root": str(ROOT / "bundles" / bundle)})
    parser.update({key: json.loads(value) for key, value in small(bundle).items()})
    torch.manual_seed(0)
    path.parent.mkdir(parents=True)
    torch.save(parser.get_parsed_content("network_def").state_dict(), path)


@pytest.mark.parametrize("cases", [3, 1])
def test_evaluation(bundle, work, tmp_path, cases):
    """Three cases are no multiple of two processes; one case is less than one for each."""
    datalist = json.loads((work / "data" / "datalist.json").read_text())
    found = [*datalist["test"], *datalist["validation"]][:cases]
    assert len(found) == cases
    folder = tmp_path / "data"
    folder.mkdir()
    for entry in (work / "data").iterdir():
        if entry.name != "datalist.json":
            (folder / entry.name).symlink_to(entry)
    (folder / "datalist.json").write_text(json.dumps({"test": found}))
    made_weights(bundle, tmp_path / "models" / "model.pt")
    outputs = [tmp_path / "one", tmp_path / "two"]
    said = [
        run(bundle, "evaluating", config, tmp_path, count, output_dir=output, **small(bundle)).stdout
        for config, count, output in zip(("evaluate", "evaluate+multi_gpu_evaluate"), (1, 2), outputs, strict=True)
    ]
    for name in ("metrics.csv", "metrics.json"):
        assert (outputs[0] / name).read_bytes() == (outputs[1] / name).read_bytes()
    assert json.loads((outputs[1] / "metrics.json").read_text())["cases"] == cases
    means = [re.findall(r"val_mean_dice: (\S+)", text) for text in said]
    assert means[0] == means[1] != []  # said once: the second process is silent


def test_training(bundle, work, tmp_path):
    """Two processes with batches of 1 take the steps of one process with batches of 2."""
    (tmp_path / "plain.json").write_text(
        json.dumps({**PLAIN, "size": "@roi_size" if bundle[0] == "m" else "@patch_size"})
    )
    settings = {**TRAINING[bundle], **NETWORKS[bundle], "epoch_length": 2, "max_epochs": 3, "val_interval": 3}
    curves = []
    for config, count, own in (
        ("train", 1, {"batch_size": 2, "train#dataloader#shuffle": False}),
        ("train+multi_gpu_train", 2, {"batch_size": 1, **in_order(bundle)}),
    ):
        folder = tmp_path / config
        folder.mkdir()
        (folder / "data").symlink_to(work / "data")
        run(bundle, "training", f"{config}+{tmp_path / 'plain'}", folder, count, **{**settings, **own})
        curves.append([float(row["loss"]) for row in history(folder)])
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)
    assert curves[0][2] < 0.99 * curves[0][0]  # the steps make a difference


def in_order(bundle):
    if bundle == "msvm_acdc":
        return {"train#sampler#shuffle": False}
    return {
        "train#dataloader#sampler": {"_target_": "DistributedSampler", "dataset": "@train#dataset", "shuffle": False},
        "train#dataloader#shuffle": False,
    }


def test_resume(work, bundle, tmp_path):
    """Each process goes on with its own random numbers, and all of them stop at the same time."""
    (tmp_path / "data").symlink_to(work / "data")
    settings = {**TRAINING[bundle], **TINY[bundle.partition("_")[0]], "val_interval": 1, "ema": "true", "patience": 9}
    run(bundle, "training", "train+multi_gpu_train", tmp_path, 2, max_epochs=1, **settings)
    first = torch.load(tmp_path / "models" / "last.pt", weights_only=True)
    states = [state["torch"] for state in first["random"]]
    assert len(states) == 2
    assert bundle == "msvm_acdc" or not torch.equal(*states)  # where processes draw their own cases
    # No score counts as better, so that the training ends at its first validation.
    settings = {**settings, "max_epochs": 9, "patience": 1, "checkpoints#early_stop#min_delta": 1.0}
    run(bundle, "training", "train+multi_gpu_train", tmp_path, 2, resume="true", **settings)
    last = torch.load(tmp_path / "models" / "last.pt", weights_only=True)
    assert last["early_stop"]["counter"] == 1
    assert last["ema"]["updates"] == last["epoch"] * 2 > first["ema"]["updates"]
    assert [row["epoch"] for row in history(tmp_path)] == [str(epoch + 1) for epoch in range(last["epoch"])]
