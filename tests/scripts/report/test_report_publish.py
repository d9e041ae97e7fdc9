"""The report sent to MLflow and TensorBoard."""

import json
import sys

import pytest

from scripts.cli import main
from tests.scripts.report.report_pages import volumes


@pytest.fixture
def results(tmp_path):
    data, output = volumes(tmp_path, ["a", "b"], ["liver", "left/kidney"])
    (output / "history.csv").write_text("epoch,loss,learning_rate,seconds\n1,1,1,1\n7,1,1,1\n")
    return data, output


def send(results, *words):
    data, output = results
    return main(["report", "--output_dir", str(output), "--dataset_dir", str(data), *map(str, words)])


def expected(output):
    metrics = json.loads((output / "metrics.json").read_text())
    found = {f"test_{name}": value for name, value in metrics["mean"]["strict"].items()}
    for label, safe in (("liver", "liver"), ("left/kidney", "left_kidney")):
        strict = metrics["classes"][label]["strict"]
        found |= {f"test_{name}/{safe}": value for name, value in strict.items() if name != "counted"}
    return pytest.approx(found)


def test_mlflow_gets_a_run_of_its_own(results, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/own.db"
    assert send(results, "--mlflow", uri) == 0
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("own")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("report", "FINISHED")
    assert run.data.metrics == expected(results[1])
    assert {item.path for item in client.list_artifacts(run.info.run_id, "report")} == {
        "report/report.html", "report/overlay.png",
    }  # fmt: skip
    assert (tmp_path / "mlruns").is_dir()


def test_mlflow_keeps_the_report_with_the_training(results, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/own.db"
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("e", artifact_location=(tmp_path / "a").as_uri())
    training, evaluation = (client.create_run(experiment, run_name=name).info.run_id for name in "te")
    client.set_terminated(training, "FAILED")
    runs = {
        "evaluation": {"tracking_uri": uri, "run_id": evaluation},
        "training": {"tracking_uri": uri, "run_id": training},
    }
    (results[1] / "mlflow.json").write_text(json.dumps(runs))
    assert send(results, "--mlflow", "sqlite:///own.db") == 0
    assert client.get_run(training).data.metrics == expected(results[1])
    assert client.get_run(training).info.status == "FAILED"
    assert client.get_run(evaluation).data.metrics == {}
    assert len(client.search_runs([experiment])) == 2


@pytest.mark.parametrize("uri", ["output", "nonsense://x"])
def test_wrong_address_of_mlflow_is_one_line(results, capsys, uri):
    pytest.importorskip("mlflow")
    assert send(results, "--mlflow", uri) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert uri in told


def test_tensorboard_gets_scores_and_pictures(results, tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert send(results, "--tensorboard", tmp_path / "events") == 0
    events = reading.EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    scalars = {tag: events.Scalars(tag)[0] for tag in events.Tags()["scalars"]}
    assert {tag: scalar.value for tag, scalar in scalars.items()} == expected(results[1])
    assert {scalar.step for scalar in scalars.values()} == {7}
    (picture,) = events.Images("test_predictions")
    assert picture.encoded_image_string.startswith(b"\x89PNG")


@pytest.mark.parametrize(("flag", "module"), [("mlflow", "mlflow"), ("tensorboard", "torch.utils.tensorboard")])
def test_missing_package_is_told_with_the_extra(results, capsys, monkeypatch, flag, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert send(results, f"--{flag}", "sqlite:///x.db") == 2
    assert "pip install 'scanseg[tracking]'" in capsys.readouterr().err
