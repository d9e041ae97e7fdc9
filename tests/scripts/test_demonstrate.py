"""Demonstrations: what they run, on which data they score, and what they say."""

import json
import re
import shlex
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from scripts.cli import main
from scripts.demonstrate import command as module
from scripts.demonstrate.demonstrations import DEMONSTRATIONS, commands_of
from tests.bundles.workflow import configs


@pytest.fixture
def merged(tmp_path):
    """A config of a demonstration with its override config, on a data set of three cases."""

    def load(name, config):
        chosen = DEMONSTRATIONS[name]
        folder = configs(chosen.bundle)
        parser = ConfigParser()
        parser.read_config([str(folder / f"{config}.json"), str(folder / chosen.config)])
        parser.config |= {"bundle_root": str(folder.parent), "dataset_dir": str(tmp_path)}
        lists = {part: [{"image": f"{part}.png"}] for part in ("training", "validation", "test")}
        (tmp_path / "datalist.json").write_text(json.dumps(lists))
        return parser

    return load


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_training_and_evaluation_have_the_same_network(name, merged):
    shapes = [
        {key: value.shape for key, value in merged(name, config).get_parsed_content("network_def").state_dict().items()}
        for config in ("train", "evaluate", "inference")
    ]
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_what_is_scored_is_what_the_words_say(name, merged):
    (trained,) = merged(name, "train").get_parsed_content("train#dataset#data")
    (scored,) = merged(name, "evaluate").get_parsed_content("validate#dataset#data")
    assert trained["image"].endswith("training.png")
    overfitted = DEMONSTRATIONS[name].what.startswith("overfitting:")
    assert scored["image"].endswith("training.png" if overfitted else "test.png")
    assert (DEMONSTRATIONS[name].config == "overfit.json") == overfitted


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_losses_of_deep_supervision_fit_the_stages(name, merged):
    parser = merged(name, "train")
    if "weights" in parser["loss"]:
        assert len(parser["loss"]["weights"]) == len(parser["network_def"]["features"]) - 1
        assert sum(parser["loss"]["weights"]) == pytest.approx(1, abs=1e-5)


def test_one_step_through_all_commands(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    override = json.dumps({"max_epochs": 1, "epoch_length": 1, "val_interval": 1, "batch_size": 2})
    status = main(["demonstrate", "cells", "--out", "new/cells", "--override", override])
    told = capfd.readouterr().out
    result = json.loads((tmp_path / "new" / "cells" / "result.json").read_text())
    metrics = json.loads((tmp_path / "new" / "cells" / "output" / "metrics.json").read_text())
    assert result["reached"] == metrics["mean"]["strict"]["f1"]
    assert result["override"] == json.loads(override)
    assert result["seconds"]["training"]["cpu"] > 0
    assert status == (0 if result["reached"] >= 0.6 else 1)
    assert "trained on the left half of one micrograph, scored on its right half" in told
    assert (tmp_path / "new" / "cells" / "models" / "model.pt").is_file()
    assert main(["demonstrate", "cells", "--out", "new/cells"]) == status
    assert "already holds this demonstration" in capfd.readouterr().out


def stub(monkeypatch, reached):
    """Instead of running commands, write the scores that an evaluation would."""

    def run(step, words, folder):
        classes = {"aorta": {"strict": {"dice": reached}}, "spleen": {"strict": {"dice": None}}}
        metrics = {"mean": {"strict": {"dice": reached}}, "classes": classes, "cases": 2}
        (folder / "output").mkdir(exist_ok=True)
        (folder / "output" / "metrics.json").write_text(json.dumps(metrics))
        return {"cpu": 60.0, "wall": 61.0}

    monkeypatch.setattr(module, "_run", run)


@pytest.mark.parametrize(
    ("reached", "status", "words"),
    [(0.91, 0, "0.910 over 2 cases: the aim of 0.9 was reached"), (0.899, 1, "was missed"), (None, 1, "was missed")],
)
def test_says_whether_the_aim_was_reached(reached, status, words, tmp_path, monkeypatch, capsys):
    stub(monkeypatch, reached)
    assert main(["demonstrate", "ct", "--out", str(tmp_path / "ct")]) == status
    told = capsys.readouterr().out
    assert words in told
    assert "overfitting" in told
    assert re.search(r"^  spleen +not there$", told, re.MULTILINE)


def test_dry_run_makes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demonstrate", "mri", "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [shlex.split(line)[:4] for line in lines] == [
        ["python", "-m", "scripts", "data"],
        ["python", "-m", "monai.bundle", "run"],
        ["python", "-m", "monai.bundle", "run"],
    ]
    typed = [shlex.split(line)[1:] for line in lines]
    assert typed == list(commands_of(DEMONSTRATIONS["mri"], Path("demonstrations/mri"), {}).values())
    assert list(tmp_path.iterdir()) == []


def test_a_failing_command_is_told(tmp_path, monkeypatch, capsys):
    broken = {"training": ["-c", "import sys; print('disk full'); sys.exit(3)"]}
    monkeypatch.setattr(module, "commands_of", lambda *_: broken)
    assert main(["demonstrate", "cells", "--out", str(tmp_path / "cells")]) == 2
    errors = capsys.readouterr().err
    assert "disk full" in errors
    assert f"training failed: see {tmp_path / 'cells' / 'training.log'}" in errors
    assert not (tmp_path / "cells" / "result.json").exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["demonstrate", "cells", "--out", str(tmp_path)]) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
