"""Nothing in a stranger's file runs, and no password is written down."""

import json
import logging
import os
import pickle
import re
import zipfile

import pytest
import torch
from monai.bundle import ConfigWorkflow

from components.errors import masked
from components.networks import MSVMUNet
from components.runs.command import read_command
from components.runs.logs import keeps
from scripts.cli import main
from scripts.errors import UserError
from scripts.zoo.lint import lint_config
from tests.bundles.workflow import BUNDLES, ROOT, configs
from tests.scripts.predict.images import SAMPLES, SMALL

PICKLES = re.compile(r"weights_only\s*=\s*False|allow_pickle\s*=\s*True")


def test_no_source_asks_for_pickles():
    """Ruff's S rules refuse other ways to run what a file says; it has none for these arguments."""
    sources = [path for folder in ("components", "scripts") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100
    assert not [path for path in sources if PICKLES.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_our_own_configs_stay_within_the_bounds(bundle):
    for path in sorted(configs(bundle).glob("*.json")):
        if path.name != "metadata.json":
            lint_config(path, ROOT / "components")


class Canary:
    """An object whose unpickling makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture(params=["torch", "torch in a state", "pickle", "old torch"])
def payload(request, tmp_path):
    """A file of weights with a payload, and what the payload would make."""
    path, mark = tmp_path / "weights.pt", tmp_path / "mark"
    if request.param == "pickle":
        path.write_bytes(pickle.dumps({"weight": Canary(mark)}))
    else:
        content = {"weight": Canary(mark)}
        content = {"epoch": 1, "state_dict": content} if "state" in request.param else content
        torch.save(content, path, _use_new_zipfile_serialization=request.param != "old torch")
    return path, mark


def run(capsys, *words):
    """Exit status, and what is told on stderr."""
    status = main([str(word) for word in words])
    return status, capsys.readouterr().err.strip()


WAYS = {
    "inspect": "weights inspect",
    "convert": "weights convert",
    "predict": "predict --weights",
    "training": "training with --encoder_weights",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_payload_in_weights_does_not_run(way, payload, capsys, tmp_path, tried):
    path, mark = payload
    if way == "training":
        with pytest.raises(ValueError, match=r"system|no file of torch\.save") as caught:
            MSVMUNet(in_channels=1, out_channels=2, encoder_weights=str(path))
        told = str(caught.value)
    elif way == "predict":
        words = ("--input", SAMPLES / "ct.nii.gz", "--output", tmp_path / "out", "--device", "cpu", "--weights", path)
        override = json.dumps(SMALL["msvm_synapse"])
        status, told = run(capsys, "predict", "--bundle", "msvm_synapse", *words, "--override", override)
        assert status == 2
    elif way == "convert":
        words = ("--bundle", "msvm_synapse", "--checkpoint", path, "--out", tmp_path / "out.pt")
        status, told = run(capsys, "weights", "convert", *words)
        assert status == 2
    else:
        status = main(["weights", "inspect", str(path)])
        shown = capsys.readouterr()
        told = (shown.err or shown.out.splitlines()[0]).strip()
        assert status in (1, 2)
    assert not mark.exists()
    assert "system" in told or "no file of torch.save" in told
    assert "\n" not in told
    tried(
        "Security", f"a pickle that runs a command: {'weights ' if 'n' in way[1:3] else ''}{way}", 1, "refused, not run"
    )


@pytest.mark.parametrize("name", ["../climbed", "/tmp/climbed", "msvm_acdc/../../climbed", "msvm_acdc\\..\\climbed"])
def test_a_zip_that_climbs_is_not_unpacked(name, capsys, tmp_path, tried):
    path = tmp_path / "inside" / "msvm_acdc_v0.1.0.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("msvm_acdc/configs/metadata.json", "{}")
        archive.writestr(name, "here")
    assert main(["zoo", "verify", str(path), "--static"]) == 1
    assert "not unpacked" in capsys.readouterr().out
    assert not list(tmp_path.rglob("climbed"))
    tried("Security", "a zip with a path out of its folder: zoo verify", 1, "refused, not unpacked")


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "$os.system('touch MARK')"},
        {"device": {"_target_": "os.system", "command": "touch MARK"}},
        {"device": {"_target_": "subprocess.run", "args": ["touch", "MARK"]}},
        {"imports": ["$import subprocess"]},
        {"initialize": ["$__import__('os').system('touch MARK')"]},
        {"network": {"_target_": "components.runs.excepthook.os.system", "command": "touch MARK"}},
        {"network": "$torch.load('MARK')"},
    ],
)
def test_a_config_that_calls_the_system_is_refused(changes, tmp_path, tried):
    mark, path = tmp_path / "mark", tmp_path / "inference.json"
    config = json.loads((configs("msvm_acdc") / "inference.json").read_text())
    path.write_text(json.dumps({**config, **changes}).replace("MARK", str(mark)))
    with pytest.raises(UserError, match=r"inference\.json: ") as caught:
        lint_config(path, ROOT / "components")
    assert "\n" not in str(caught.value)
    assert not mark.exists()
    tried("Security", "a config that calls the system: zoo verify", 1, "refused, not run")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("class", "__import__('os').system('touch MARK') or logging.StreamHandler"),
        ("args", "(os.system('touch MARK'),)"),
    ],
)
def test_a_logging_conf_with_a_foreign_class_does_not_run(field, value, tmp_path, tried):
    mark = tmp_path / "mark"
    fields = {"class": "StreamHandler", "args": "(sys.stdout,)", field: value.replace("MARK", str(mark))}
    path = tmp_path / "logging.conf"
    path.write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=\n[logger_root]\nhandlers=h\n[handler_h]\n"
        + "".join(f"{name}={text}\n" for name, text in fields.items())
    )
    with pytest.raises(ValueError, match="refusing to apply logging config"):
        ConfigWorkflow(str(configs("msvm_acdc") / "inference.json"), logging_file=str(path))
    assert not mark.exists()
    tried("Security", "a logging.conf with a foreign class: monai.bundle run", 1, "refused, not run")


URI = "https://someone:pass-word@mlflow.example.org/api"


def test_passwords_are_not_written_down():
    assert masked(f"--tracking_uri {URI}") == "--tracking_uri https://***@mlflow.example.org/api"
    assert masked("no@address //a:b @c") == "no@address //a:b @c"
    record = logging.LogRecord("monai.bundle", logging.INFO, "", 0, "> %s: %s", ("tracking_uri", URI), None)
    assert keeps(record)
    assert record.getMessage() == "> tracking_uri: https://***@mlflow.example.org/api"


def test_the_record_of_a_run_has_no_password():
    config = configs("msvm_acdc") / "train.json"
    words = ["python", "-m", "monai.bundle", "run", "--config_file", str(config), "--tracking_uri", URI]
    assert "pass-word" not in json.dumps(read_command(words))
    assert "***@mlflow.example.org" in json.dumps(read_command(words))
