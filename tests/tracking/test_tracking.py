"""Trainings as runs of MLflow: curves, parameters, the model, and how they ended."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from torch import nn

from components.handlers import HistoryWriter
from components.tracking import MLflowRun
from tests import processes

mlflow = pytest.importorskip("mlflow")

ROOT = Path(__file__).parents[2]
CONFIG = {
    "max_epochs": 2,
    "class_names": ["a", "b"],
    "encoder_weights": "gone.pth",
    "dataset_dir": "somewhere",
    "device": "$torch.device('cpu')",
    "handlers": [{"_target_": "x"}],
    "network_def": {"_target_": "torch.nn.Conv2d", "in_channels": 2, "out_channels": 3, "kernel_size": 1},
}


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    """MLflow's own choice of a server goes before the handler's."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


class Broken(nn.Conv2d):
    """Fails in its third forward pass."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 3:
            raise RuntimeError("no memory left")
        return super().forward(x)


def trainer(folder, network, name="training"):
    folder.mkdir(exist_ok=True)
    (folder / "config_1.json").write_text(json.dumps(CONFIG))
    torch.save({"weight": torch.full((3, 2, 1, 1), 0.5), "bias": torch.zeros(3)}, folder / "model.pt")
    items = [{"image": torch.ones(2, 8, 8), "label": torch.ones(3, 8, 8)} for _ in range(4)]
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=torch.utils.data.DataLoader(items, batch_size=2),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.1),
        loss_function=nn.MSELoss(),
        train_handlers=[
            HistoryWriter(str(folder)),
            MLflowRun(str(folder), str(folder / "model.pt"), experiment_name="e", run_name=name),
        ],
    )


def uri(folder):
    return f"sqlite:///{folder}/mlruns.db"


def runs(folder):
    client = mlflow.MlflowClient(tracking_uri=uri(folder))
    experiment = client.get_experiment_by_name("e")
    return client, client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])


def test_training_with_curves_parameters_and_model(tmp_path):
    trainer(tmp_path, nn.Conv2d(2, 3, 1)).run()
    assert not mlflow.is_tracking_uri_set()
    client, (run,) = runs(tmp_path)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "training")
    rows = [line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines()]
    for number, name in enumerate(rows[0][1:], start=1):
        logged = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]
        assert logged == [(int(row[0]), float(row[number])) for row in rows[1:]]
    assert run.data.params["max_epochs"] == "2"
    assert run.data.params["class_names"] == "['a', 'b']"
    assert run.data.params["version_torch"] == torch.__version__
    assert not {"dataset_dir", "device", "handlers", "network_def"} & set(run.data.params)
    artifacts = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"config_1.json", "history.csv", "training.json"} <= artifacts
    remembered = json.loads((tmp_path / "mlflow.json").read_text())["training"]
    assert (remembered["tracking_uri"], remembered["run_id"]) == (uri(tmp_path), run.info.run_id)
    check_model(tmp_path, run.info.run_id)


def check_model(folder, run_id):
    """In a process of its own, from another folder and without the repository: MLflow brings the components along."""
    code = (
        "import mlflow, numpy as np, json, sys\n"
        f"mlflow.set_tracking_uri({uri(folder)!r})\n"
        f"model = mlflow.pyfunc.load_model('runs:/{run_id}/model')\n"
        "image = np.arange(2 * 4 * 6, dtype=np.float32).reshape(1, 2, 4, 6)\n"
        "file = sys.modules['components'].__file__\n"
        "print(json.dumps([model.predict(image).tolist(), str(model.metadata.signature), file]))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    logits, signature, components = json.loads(done.stdout.splitlines()[-1])
    image = np.arange(48.0).reshape(2, 4, 6)
    np.testing.assert_allclose(logits, np.broadcast_to(0.5 * image.sum(0), (1, 3, 4, 6)))
    assert "Tensor('float32', (-1, 2, -1, -1))" in signature
    assert "Tensor('float32', (-1, 3, -1, -1))" in signature
    assert not Path(components).is_relative_to(ROOT)
    (stored,) = folder.glob("mlruns/models/*/artifacts")
    assert not [path for path in stored.rglob("*") if path.suffix in (".pkl", ".pickle", ".pth")]


def test_crashed_run_has_failed_and_is_not_gone_on_with(tmp_path):
    with pytest.raises(RuntimeError, match="no memory left"):
        trainer(tmp_path, Broken(2, 3, 1)).run()
    client, (first,) = runs(tmp_path)
    assert first.info.status == "FAILED"
    assert first.data.tags["error"] == "RuntimeError: no memory left"
    assert len(client.get_metric_history(first.info.run_id, "loss")) == 1
    trainer(tmp_path, nn.Conv2d(2, 3, 1)).run()
    client, (first, second) = runs(tmp_path)
    assert [first.info.status, second.info.status] == ["FAILED", "FINISHED"]
    assert len(client.get_metric_history(first.info.run_id, "loss")) == 1


def test_interrupted_run_is_killed(tmp_path):
    code = (
        "from pathlib import Path\nfrom tests.tracking.test_tracking import Broken, trainer\n"
        "def interrupt(self, x):\n    raise KeyboardInterrupt\n"
        f"Broken.forward = interrupt\ntrainer(Path({str(tmp_path)!r}), Broken(2, 3, 1)).run()"
    )
    (tmp_path / "interrupted.py").write_text(code)
    done = processes.run(["interrupted"], tmp_path)
    assert "KeyboardInterrupt" in done.stderr
    assert [run.info.status for run in runs(tmp_path)[1]] == ["KILLED"]
    assert json.loads((tmp_path / "training.json").read_text())["status"] == "interrupted"


def test_server_that_cannot_be_used_leaves_no_open_run(tmp_path, monkeypatch):
    monkeypatch.setattr(MLflowRun, "_log_params", lambda self, params: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer(tmp_path, nn.Conv2d(2, 3, 1)).run()
    assert [run.info.status for run in runs(tmp_path)[1]] == ["FAILED"]


def test_evaluation_is_a_run_beside_the_training(tmp_path):
    trainer(tmp_path, nn.Conv2d(2, 3, 1)).run()
    (tmp_path / "metrics.csv").write_text("case,class\n")
    engine = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=torch.utils.data.DataLoader([{"image": torch.ones(2, 8, 8)}]),
        network=nn.Conv2d(2, 3, 1),
        val_handlers=[MLflowRun(str(tmp_path), tracking_uri=uri(tmp_path), experiment_name="e", run_name="evaluation")],
    )
    engine.add_event_handler(
        Events.STARTED, lambda: engine.state.metrics.update({"strict_dice": 0.5, "each": torch.ones(2)})
    )
    engine.run()
    client, (training, evaluation) = runs(tmp_path)
    assert evaluation.info.status == "FINISHED"
    assert evaluation.data.metrics == {"strict_dice": 0.5}
    assert {item.path for item in client.list_artifacts(evaluation.info.run_id)} == {"config_1.json", "metrics.csv"}
    assert set(json.loads((tmp_path / "mlflow.json").read_text())) == {"training", "evaluation"}
    assert training.data.metrics.keys() == {"loss", "learning_rate", "seconds"}
