"""What a run writes about itself."""

import json

import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import StatsHandler
from monai.utils import set_determinism

import components
from components.handlers import RunRecord
from components.handlers.ending import Ending
from components.kernels import mlstm, used_backends
from components.runs.command import read_command
from tests import processes

CONFIGS = {
    "train.json": {"max_epochs": 300, "optimizer": {"lr": 0.1}, "steps": [1, 2], "dataset_dir": "data"},
    "demo.json": {"max_epochs": 20, "+train": {"a": 1}, "dataset_dir": "elsewhere"},
    "args.json": {"config_file": "train.json", "seed": 3},
}


@pytest.fixture
def configs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in CONFIGS.items():
        (tmp_path / name).write_text(json.dumps(content))


def recorded(folder, step, handlers=()):
    engine = Engine(step)
    for handler in handlers:
        handler.attach(engine)
    RunRecord(str(folder), "training").attach(engine)
    try:
        engine.run([0, 1], max_epochs=2)
    finally:
        engine.content = json.loads((folder / "training.json").read_text())
    return engine.content


def test_record_of_a_run(tmp_path):
    seen = []
    torch.manual_seed(1)
    set_determinism(seed=7)
    try:
        path = tmp_path / "out" / "training.json"
        step = lambda engine, batch: seen.append(json.loads(path.read_text())["status"])  # noqa: E731
        content = recorded(tmp_path / "out", step)
    finally:
        set_determinism(seed=None)
    assert seen == ["running"] * 4
    assert (content["status"], content["error"], content["seed"], content["epoch"]) == ("finished", "", 7, 0)
    assert content["started"] <= content["ended"]
    assert content["versions"]["torch"] == torch.__version__
    assert content["versions"]["components"] == components.__version__
    assert content["machine"]["device"] == "cpu"
    assert content["machine"]["gpu"] is None
    assert content["command"] is None


def test_record_of_an_error_that_is_raised_on(tmp_path):
    heard = []

    def step(engine, batch):
        raise RuntimeError("out of\nmemory")

    engine = Engine(step)
    Ending(lambda status, error: heard.append(error)).attach(engine)
    RunRecord(str(tmp_path), "training").attach(engine)
    Ending(lambda status, error: heard.append(error)).attach(engine)
    with pytest.raises(RuntimeError, match="out of"):
        engine.run([0])
    assert heard == ["RuntimeError: out of memory"] * 2
    content = json.loads((tmp_path / "training.json").read_text())
    assert (content["status"], content["error"]) == ("failed", "RuntimeError: out of memory")


@pytest.mark.parametrize(
    ("raised", "status", "error"),
    [("ValueError('bad')", "failed", "ValueError: bad"), ("KeyboardInterrupt", "interrupted", "")],
)
def test_record_when_the_process_ends(tmp_path, raised, status, error):
    """MONAI's StatsHandler raises the error before later handlers hear of it."""
    code = (
        "from ignite.engine import Engine\nfrom monai.handlers import StatsHandler\n"
        "from components.handlers import RunRecord\n"
        f"def step(engine, batch):\n    raise {raised}\n"
        "engine = Engine(step)\nStatsHandler().attach(engine)\n"
        f"RunRecord({str(tmp_path)!r}, 'evaluation').attach(engine)\nengine.run([0])"
    )
    (tmp_path / "failing.py").write_text(code)
    assert processes.run(["failing"], tmp_path).returncode != 0
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert (content["status"], content["error"]) == (status, error)


def test_the_end_comes_after_all_other_handlers():
    order = []
    engine = Engine(lambda engine, batch: None)
    Ending(lambda status, error: order.append(status)).attach(engine)
    StatsHandler(output_transform=lambda output: None).attach(engine)
    engine.add_event_handler(Events.COMPLETED, lambda: order.append("another"))
    engine.run([0])
    engine.run([0])
    assert order == ["another", "finished"] * 2


def test_backends_that_were_used():
    q = torch.randn(1, 1, 4, 2)
    gate = torch.randn(1, 1, 4)
    mlstm(q, q, q, gate, gate, backend="naive")
    assert "naive" in used_backends()["mlstm"]


@pytest.mark.usefixtures("configs")
def test_changes_of_a_command_line():
    words = [
        "python",
        "-m",
        "monai.bundle",
        "run",
        "training",
        "--config_file",
        "['train.json','demo.json']",
        "--max_epochs",
        "10",
    ]
    words += ["--optimizer#lr=0.2", "--steps#1", "5", "--amp", "--dataset_dir", "D", "--new", "[1, 2]"]
    found = read_command(words)
    assert found["config_files"] == ["train.json", "demo.json"]
    assert [(c["by"], c["id"], c["released"], c["used"]) for c in found["changes"]] == [
        ("demo.json", "max_epochs", 300, 20),
        ("demo.json", "+train", None, {"a": 1}),
        ("command line", "max_epochs", 300, 10),
        ("command line", "optimizer#lr", 0.1, 0.2),
        ("command line", "steps#1", 2, 5),
        ("command line", "amp", None, True),
        ("command line", "new", None, [1, 2]),
    ]
    assert [c["id"] for c in found["changes"] if not c["known"]] == ["+train", "amp", "new"]


@pytest.mark.usefixtures("configs")
def test_other_ways_to_start():
    launched = [
        "torchrun",
        "--nproc_per_node=2",
        "-m",
        "monai.bundle",
        "run",
        "--config_file",
        "train.json",
        "--tracking",
        "mlflow",
    ]
    assert read_command(launched) == {"config_files": ["train.json"], "changes": []}
    by_file = ["python", "/x/monai/bundle/__main__.py", "run", "--args_file", "args.json", "--seed", "4"]
    assert [(c["id"], c["used"]) for c in read_command(by_file)["changes"]] == [("seed", 4)]
    for other in (["python", "train.py"], ["python", "-m", "monai.bundle", "verify_metadata"], launched[:4]):
        assert read_command(other) is None
    assert read_command(["-m", "monai.bundle", "run", "--config_file", "gone.json"]) is None
