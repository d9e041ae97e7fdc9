"""The line that says what comes next."""

import json
import logging
import shlex
import sys

import pytest
from ignite.engine import Engine

from components.handlers import NextStep

RUN = ["python", "-m", "monai.bundle", "run", "training", "--bundle_root", "B", "--config_file", "train.json"]


@pytest.fixture
def say(tmp_path, monkeypatch, caplog):
    """Run an engine with the handler as if by this command line, and give what is logged."""
    config = tmp_path / "an evaluate.json"
    config.write_text(json.dumps({"roi_size": [224, 224], "dataset_dir": "data", "network_def": {}}))
    (tmp_path / "model.pt").touch()
    command = ["python", "-m", "monai.bundle", "run", "evaluating", "--bundle_root", "B", "--config_file", config]

    def run(words, made=("model.pt", "nowhere"), command=command):
        monkeypatch.setattr(sys, "orig_argv", words)
        engine = Engine(lambda engine, batch: None)
        NextStep([tmp_path / name for name in made], command).attach(engine)
        with caplog.at_level(logging.INFO, logger="components"):
            engine.run([0])
        return [record.getMessage() for record in caplog.records if record.name.startswith("components")]

    return run


def test_products_and_overrides_of_the_next_config(say, tmp_path):
    (line,) = say([*RUN, "--roi_size", "[96, 96]", "--max_epochs=3", "--dataset_dir", "my data"])
    ready, command = line.split("; next: ")
    assert ready == f"ready: {tmp_path / 'model.pt'}"
    assert shlex.split(command) == [
        *(["python", "-m", "monai.bundle", "run", "evaluating", "--bundle_root", "B", "--config_file"]),
        str(tmp_path / "an evaluate.json"),
        *("--roi_size", "[96, 96]", "--dataset_dir", "my data"),
    ]


def test_parts_of_the_network_are_kept(say):
    (line,) = say([*RUN, "--network_def#features", "[8, 16]", "--optimizer#lr", "1"])
    assert line.endswith("--network_def#features '[8, 16]'") or line.endswith("'--network_def#features' '[8, 16]'")


def test_last_step(say, tmp_path):
    assert say(RUN, command=()) == [f"ready: {tmp_path / 'model.pt'}"]


def test_other_programs_hear_nothing(say):
    assert say(["python", "server.py"]) == []
