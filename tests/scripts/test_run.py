"""``scanseg run`` prints MONAI's command and becomes it."""

import os
import shlex
import sys

import pytest

from scripts.cli import main
from tests.bundles.workflow import ROOT

MONAI = ["-m", "monai.bundle", "run"]


@pytest.fixture
def words(monkeypatch, capsys):
    """Run a command line in the repository; gives the words after ``python`` that are printed and executed."""
    if os.name != "posix":
        pytest.skip("the run is another process there")
    monkeypatch.chdir(ROOT)
    executed = []
    monkeypatch.setattr(os, "execv", lambda program, command: executed.append((program, command)))

    def run(*line):
        assert main(["run", *line]) == 0
        ((program, (_, *rest)),) = executed
        assert program == sys.executable
        assert shlex.split(capsys.readouterr().out) == ["python", *rest]
        return rest

    return run


def test_configs_and_overrides(words):
    line = "training msvm_acdc --dataset_dir D --roi_size=[32,32] --network_def#encoder tiny --flag --max-epochs -1"
    configs = "bundles/msvm_acdc/configs"
    assert words(*line.split(), "--config", "tensorboard,tracking", "--output_dir", "my output") == [
        *(*MONAI, "training", "--bundle_root", "bundles/msvm_acdc", "--config_file"),
        f"['{configs}/train.json', '{configs}/tensorboard.json']",
        *("--dataset_dir", "D", "--roi_size", "[32,32]", "--network_def#encoder", "tiny", "--flag"),
        *("--max-epochs", "-1", "--output_dir", "my output", "--tracking", f"{configs}/tracking.json"),
    ]


def test_several_processes(words):
    found = words("evaluating", "bundles/xlstm_cells", "--nproc", "2")
    assert found[:4] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    configs = "bundles/xlstm_cells/configs"
    files = f"['{configs}/evaluate.json', '{configs}/multi_gpu_evaluate.json']"
    assert found[4:] == [*MONAI, "evaluating", "--bundle_root", "bundles/xlstm_cells", "--config_file", files]


def test_what_the_run_says_and_its_status_are_passed_on(run, tmp_path):
    done = run("run", "training", "msvm_acdc", "--dataset_dir", "nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.startswith("python -m monai.bundle run training --bundle_root ")
    assert "dataset_dir nowhere does not exist" in done.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("train msvm_acdc", "unknown id to run 'train', did you mean 'training'?"),
        ("training msvm_adcd", "unknown bundle 'msvm_adcd', did you mean 'msvm_acdc'?"),
        ("training msvm_acdc --config tensorbord", "did you mean 'tensorboard'?"),
        ("training msvm_acdc --nproc 0", "--nproc needs a number of processes"),
        ("training msvm_acdc --nproc many", "--nproc needs a whole number, not 'many'"),
        ("inferring msvm_acdc --nproc 2", "inferring takes one process"),
        ("training", "missing --bundle"),
    ],
)
def test_mistakes(line, told, capsys):
    assert main(["run", *line.split()]) == 2
    assert told in capsys.readouterr().err
