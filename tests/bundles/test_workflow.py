"""From sample data to segmentations, for every bundle, by the commands of its documentation."""

import csv
import json
import shlex
import shutil
import sqlite3

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from scripts.cli import main
from tests import processes
from tests.bundles.workflow import BUNDLES, KINDS, SIZES, TINY, TRAINING, checked, configs, python, run
from tests.folders import folder


def bundles(names):
    """Parametrise ``trained``; all tests of a bundle in one worker, so that it is trained once."""
    values = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names]
    return pytest.mark.parametrize("trained", values, indirect=True, scope="module")


of_every_bundle = bundles(BUNDLES)
of_every_kind = bundles(KINDS)


@pytest.fixture(scope="module")
def trained(request, tmp_path_factory):
    """A bundle, and a folder with its sample (one case to validate and one to test) and one epoch.

    Of each kind the epoch is tracked. Of one bundle the commands are those of the documentation to the letter.
    """
    with folder(tmp_path_factory, request.param) as work:
        assert main(["data", "sample", "--bundle", request.param, "--out", str(work / "data")]) == 0
        datalist = json.loads((work / "data" / "datalist.json").read_text())
        shorter = {part: items if part == "training" else items[:1] for part, items in datalist.items()}
        (work / "data" / "datalist.json").write_text(json.dumps(shorter))
        settings = {"max_epochs": 1, "val_interval": 1, **TRAINING[request.param]}
        if request.param in KINDS:
            settings["tracking"] = "mlflow"
        done = run(request.param, "training", "train", work, fresh=request.param == KINDS[0], **settings)
        (work / "said.txt").write_text(done.stdout)
        yield request.param, work


def next_command(said):
    """Words of the command that a run names when it ends."""
    _, found, command = said.rpartition("; next: ")
    assert found, said[-2000:]
    return shlex.split(command.splitlines()[0])[1:]


def history(work):
    with (work / "output" / "history.csv").open() as file:
        return list(csv.DictReader(file))


@of_every_bundle
def test_training_leaves_weights_state_and_history(trained):
    _, work = trained
    weights = torch.load(work / "models" / "model.pt", weights_only=True)
    state = torch.load(work / "models" / "last.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in weights.values())
    assert state["epoch"] == 1
    assert weights.keys() == state["network"].keys()
    (row,) = history(work)
    assert float(row["loss"]) > 0
    assert 0 <= float(row["val_mean_dice"]) <= 1


def short(bundle):
    """Settings of a training with a small network."""
    return {"val_interval": 1, **TRAINING[bundle], **TINY[bundle.partition("_")[0]]}


@of_every_kind
def test_training_goes_on_from_the_last_state(trained, tmp_path):
    bundle, trained_in = trained
    work = tmp_path / "copy"
    shutil.copytree(trained_in, work)
    before = torch.load(work / "models" / "last.pt", weights_only=True)
    run(bundle, "run", "train", work, max_epochs=2, val_interval=5, resume=True, **TRAINING[bundle])
    after = torch.load(work / "models" / "last.pt", weights_only=True)
    assert [row["epoch"] for row in history(work)] == ["1", "2"]
    assert after["epoch"] == 2
    assert after["best_metric"] == before["best_metric"]
    assert [state["lr_scheduler"]["last_epoch"] for state in (before, after)] == [1, 2]


@of_every_kind
def test_a_complete_training_does_not_begin_again(trained):
    bundle, work = trained
    epoch = torch.load(work / "models" / "last.pt", weights_only=True)["epoch"]
    again = run(bundle, "run", "train", work, check=False, max_epochs=epoch, resume=True, **TRAINING[bundle])
    assert again.returncode != 0
    assert f"give --max_epochs above {epoch}" in again.stderr


@of_every_bundle
def test_evaluation_and_inference(trained):
    bundle, work = trained
    fresh = bundle == KINDS[0]
    command = next_command((work / "said.txt").read_text())
    evaluation = checked(python(*command, cwd=work) if fresh else processes.run(command[1:], work))
    assert next_command(evaluation.stdout)[:3] == ["-m", "scanseg", "report"]
    inference = run(bundle, "inferring", "inference", work, fresh=fresh, **SIZES[bundle])
    assert f"ready: {work / 'output' / 'predictions'}\n" in inference.stdout
    metrics = json.loads((work / "output" / "metrics.json").read_text())
    names = json.loads((configs(bundle) / "train.json").read_text())["class_names"]
    scored = {"xlstm_cells": ["cell"], "xlstm_nuclei": ["nucleus"]}.get(bundle, names)
    assert list(metrics["classes"]) == scored
    assert metrics["cases"] == 1
    assert (work / "output" / "metrics.csv").read_text().count("\n") == 1 + len(scored)

    (item,) = json.loads((work / "data" / "datalist.json").read_text())["test"]
    path = work / "data" / item["image"]
    ending = ".nii.gz" if path.name.endswith(".nii.gz") else path.suffix
    prediction = work / "output" / "predictions" / f"{path.name.removesuffix(ending)}_pred{ending}"
    if ending == ".nii.gz":
        image, labels = nib.load(path), nib.load(prediction)
        np.testing.assert_allclose(labels.affine, image.affine, atol=1e-5)
        assert nib.aff2axcodes(labels.affine) == nib.aff2axcodes(image.affine)
        shape, values = image.shape, np.asarray(labels.dataobj)
    else:
        shape, values = np.asarray(Image.open(path)).shape[:2], np.asarray(Image.open(prediction))
    assert values.shape == shape
    assert values.max() <= len(names)


@of_every_kind
def test_training_without_validation_cases_keeps_the_last_weights(trained, tmp_path):
    bundle, work = trained
    (tmp_path / "data").mkdir()
    for entry in (work / "data").iterdir():
        (tmp_path / "data" / entry.name).symlink_to(entry)
    datalist = json.loads((work / "data" / "datalist.json").read_text())
    (tmp_path / "data" / "datalist.json").unlink()
    (tmp_path / "data" / "datalist.json").write_text(json.dumps({**datalist, "validation": []}))
    run(bundle, "training", "train", tmp_path, max_epochs=1, **short(bundle))
    best, last = (torch.load(tmp_path / "models" / f"{name}.pt", weights_only=True) for name in ("model", "last"))
    assert all(torch.equal(value, last["network"][name]) for name, value in best.items())
    assert "val_mean_dice" not in history(tmp_path)[0]


@of_every_kind
def test_average_and_early_stopping(trained, tmp_path):
    """The words are those of a command line: true and false are texts for Fire."""
    bundle, work = trained
    (tmp_path / "data").symlink_to(work / "data")
    settings = {**short(bundle), "ema_momentum": 0.5, "learning_rate": 0, "patience": 1}
    run(bundle, "training", "train", tmp_path, ema="true", amp="false", resume="false", max_epochs=9, **settings)
    last = torch.load(tmp_path / "models" / "last.pt", weights_only=True)
    # Without a learning rate the weights stay, so the score soon does not rise.
    assert last["early_stop"]["counter"] == 1
    assert last["epoch"] == last["best_metric_epoch"] + 1 < 9
    assert last["ema"]["updates"] == 2 * last["epoch"]
    for name, value in last["ema"]["network"].items():
        torch.testing.assert_close(value, last["network"][name])
    assert "scaler" not in last


@of_every_kind
def test_tracking_by_mlflow(trained):
    _, work = trained
    with sqlite3.connect(work / "output" / "mlruns.db") as database:
        keys = {key for (key,) in database.execute("SELECT key FROM metrics")}
    assert "val_mean_dice" in keys


@of_every_kind
def test_two_processes(trained, tmp_path):
    bundle, work = trained
    (tmp_path / "data").symlink_to(work / "data")
    fresh = bundle == KINDS[0]
    run(bundle, "training", "train+multi_gpu_train", tmp_path, 2, fresh, max_epochs=1, **short(bundle))
    best, last = (torch.load(tmp_path / "models" / f"{name}.pt", weights_only=True) for name in ("model", "last"))
    assert best.keys() == last["network"].keys()
    assert not [name for name in best if name.startswith("module.")]  # that of the network in DistributedDataParallel
