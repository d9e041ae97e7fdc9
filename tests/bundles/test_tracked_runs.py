"""Runs of a bundle in MLflow and TensorBoard by the settings that lie in its configs."""

import json
import os

import pytest
from monai.bundle import ConfigParser

from scripts.cli import main
from scripts.zoo.lint import lint_config
from tests.bundles.workflow import BUNDLES, ROOT, SIZES, TRAINING, configs, run

FILES = ("tracking.json", "tensorboard.json")
BUNDLE = "msvm_acdc"


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("name", FILES)
def test_settings_are_the_same_and_pass_the_lint(bundle, name):
    assert (configs(bundle) / name).read_bytes() == (configs(BUNDLES[0]) / name).read_bytes()
    lint_config(configs(bundle) / name, ROOT / "components")


@pytest.mark.parametrize("bundle", BUNDLES)
def test_settings_fit_the_configs(bundle):
    settings = json.loads((configs(bundle) / "tracking.json").read_text())
    for kind, name in (("trainer", "train"), ("evaluator", "evaluate")):
        config = ConfigParser(ConfigParser.load_config_file(str(configs(bundle) / f"{name}.json")))
        assert settings["handlers_id"][kind]["id"] in config
        assert isinstance(config[settings["handlers_id"][kind]["handlers"]], list)
    other = ConfigParser(ConfigParser.load_config_file(str(configs(bundle) / "train.json")))
    assert settings["handlers_id"]["evaluator"]["id"] not in other


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with one tracked training, one that crashed, and one evaluation."""
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("tracked")
    assert main(["data", "sample", "--bundle", BUNDLE, "--out", str(folder / "data")]) == 0
    # The output folder is given relative to the current one, as users do: MONAI then misnames the executed config.
    places = {"output_dir": "output", "ckpt_dir": "models", "tracking": configs(BUNDLE) / "tracking.json"}
    short = {**places, "max_epochs": 1, "val_interval": 1, **TRAINING[BUNDLE]}
    run(BUNDLE, "training", "train", folder, **short)
    items = json.loads((folder / "data" / "datalist.json").read_text())["training"]
    kept = {item["image"]: (folder / "data" / item["image"]).read_bytes() for item in items}
    for name, content in kept.items():
        (folder / "data" / name).write_bytes(content[: len(content) // 2])
    crashed = run(BUNDLE, "training", "train", folder, check=False, **short)
    assert crashed.returncode != 0
    for name, content in kept.items():
        (folder / "data" / name).write_bytes(content)
    run(BUNDLE, "evaluating", "evaluate", folder, **places, **SIZES[BUNDLE])
    return folder


def test_each_start_is_a_run_with_its_true_end(work):
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{work}/output/mlruns.db")
    experiment = client.get_experiment_by_name(BUNDLE)
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    assert [(found.info.run_name, found.info.status) for found in runs] == [
        ("training", "FINISHED"), ("training", "FAILED"), ("evaluation", "FINISHED"),
    ]  # fmt: skip
    training, crashed, evaluation = runs
    assert 0 <= training.data.metrics["val_mean_dice"] <= 1
    assert training.data.params["max_epochs"] == "1"
    assert training.data.params["seed"] == "42"
    assert crashed.data.tags["error"]
    assert {name for name in crashed.data.metrics if not name.startswith("test_")} == set()  # those are the report's
    assert "strict_dice" in evaluation.data.metrics
    assert "metrics.csv" in {item.path for item in client.list_artifacts(evaluation.info.run_id)}
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        model = mlflow.models.get_model_info(f"runs:/{training.info.run_id}/model")
    finally:
        mlflow.set_tracking_uri(None)
    assert "(-1, 1, -1, -1)" in str(model.signature.inputs)
    assert "(-1, 4, -1, -1)" in str(model.signature.outputs)


def test_records_of_the_runs(work):
    training, evaluation = (
        json.loads((work / "output" / f"{name}.json").read_text()) for name in ("training", "evaluation")
    )
    assert (training["status"], evaluation["status"]) == ("failed", "finished")
    assert training["command"]["config_files"] == ["train.json"]
    changes = {change["id"]: (change["released"], change["used"]) for change in training["command"]["changes"]}
    assert changes["max_epochs"] == (300, 1)
    assert changes["roi_size"] == ([224, 224], [32, 32])
    assert "dataset_dir" not in changes
    assert training["seed"] == 42
    assert evaluation["backends"]["cross_selective_scan"]
    assert evaluation["network"]["name"] == "MSVMUNet"


def test_report_belongs_to_the_training(work, monkeypatch):
    import mlflow

    uri = f"sqlite:///{work}/output/mlruns.db"
    monkeypatch.chdir(work)
    words = ["--output_dir", "output", "--dataset_dir", "data", "--mlflow", "sqlite:///output/mlruns.db"]
    assert main(["report", *words]) == 0
    run_id = json.loads((work / "output" / "mlflow.json").read_text())["training"]["run_id"]
    found = mlflow.MlflowClient(tracking_uri=uri).list_artifacts(run_id, "report")
    assert "report/report.html" in {item.path for item in found}
    assert "The training failed" in (work / "output" / "report.html").read_text(encoding="utf-8")


def test_tensorboard_as_a_further_config(work, tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (tmp_path / "data").symlink_to(work / "data")
    run(BUNDLE, "training", "train+tensorboard", tmp_path, max_epochs=1, val_interval=1, **TRAINING[BUNDLE])
    events = reading.EventAccumulator(os.fspath(tmp_path / "output" / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("train_loss")) == TRAINING[BUNDLE]["epoch_length"]
    assert [scalar.step for scalar in events.Scalars("val_mean_dice")] == [1]
