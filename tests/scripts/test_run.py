"""``scanseg run`` prints MONAI's command and becomes it."""

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

from scripts.cli import main
from scripts.run import cross_validation
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
        ("training msvm_acdc --nproc 0", "--nproc needs a whole number from 1 on, not 0"),
        ("training msvm_acdc --nproc many", "--nproc needs a whole number from 1 on, not 'many'"),
        ("inferring msvm_acdc --nproc 2", "inferring takes one process"),
        ("training", "missing --bundle"),
    ],
)
def test_mistakes(line, told, capsys):
    assert main(["run", *line.split()]) == 2
    assert told in capsys.readouterr().err


@pytest.fixture
def fold_runs(monkeypatch, tmp_path):
    """Folds of a training without the runs themselves: gives the id and the overrides of each, by its command."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "D").mkdir()
    items = [{"image": f"{n}.nii", "fold": n % 3} for n in range(6)]
    (tmp_path / "D" / "datalist.json").write_text(json.dumps({"training": items}))
    done, ends = [], {}

    def wait_for(command):
        words = command[command.index("run") + 1 :]
        given = dict(zip(words[1::2], words[2::2], strict=True))
        weights, output = (tmp_path / given[name] for name in ("--ckpt_dir", "--output_dir"))
        made = weights / "model.pt" if words[0] == "training" else output / "metrics.json"
        made.parent.mkdir(parents=True, exist_ok=True)
        if words[0] == "evaluating" or not made.exists():
            made.touch()
        done.append((words[0], given))
        return ends.get((words[0], given["--fold"]), 0)

    monkeypatch.setattr(cross_validation, "wait_for", wait_for)
    return done, ends


PLACES = ["--dataset_dir", "D", "--output_dir", "O", "--ckpt_dir", "C"]


def test_folds_are_trained_and_scored_one_after_another(fold_runs, capsys):
    done, _ = fold_runs
    line = ["run", "training", "msvm_acdc", *PLACES, "--folds", "0,2", "--max_epochs", "2", "--roi_size", "[32, 32]"]
    assert main(line) == 0
    assert [(run_id, given["--fold"]) for run_id, given in done] == [
        ("training", "0"), ("evaluating", "0"), ("training", "2"), ("evaluating", "2"),
    ]  # fmt: skip
    for run_id, given in done:
        own = {"--max_epochs": "2", "--resume": "auto"} if run_id == "training" else {}
        assert given.items() >= {"--dataset_dir": "D", "--roi_size": "[32, 32]", **own}.items()
        assert [given[name] for name in ("--output_dir", "--ckpt_dir")] == [
            f"{place}{os.sep}fold_{given['--fold']}" for place in "OC"
        ]
        assert ("--max_epochs" in given) == (run_id == "training")
    done.clear()
    assert main([*line[:-4], "--folds", "all"]) == 0
    assert [(run_id, given["--fold"]) for run_id, given in done] == [
        ("training", "0"), ("training", "1"), ("evaluating", "1"), ("training", "2"),
    ]  # fmt: skip
    told = capsys.readouterr().out
    assert "--folds" not in told
    assert told.endswith("next: scanseg report --output_dir O --dataset_dir D\n")


def test_folds_end_where_one_fails(fold_runs, capsys):
    done, ends = fold_runs
    ends["training", "1"] = 143
    assert main(["run", "training", "msvm_acdc", *PLACES, "--folds", "all"]) == 143
    assert len(done) == 3
    assert "training of fold 1 ended with status 143: run the same command again" in capsys.readouterr().err


def test_folds_are_scored_again(fold_runs):
    done, _ = fold_runs
    assert main(["run", "evaluating", "msvm_acdc", *PLACES, "--fold", "all"]) == 0
    assert [(run_id, given["--fold"]) for run_id, given in done] == [("evaluating", str(n)) for n in range(3)]


@pytest.mark.parametrize(("folds", "told"), [("3", "has no fold 3: it has 0, 1, 2"), ("some", "neither all nor")])
def test_folds_that_there_are_not(folds, told, fold_runs, capsys):
    assert main(["run", "training", "msvm_acdc", *PLACES, "--folds", folds]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="signals are other ones there")
def test_a_signal_is_passed_on():
    child = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *a: sys.exit(143)); print('on', flush=True); "
        "signal.pause()"
    )
    script = (
        "from scripts.run.cross_validation import wait_for; "
        f"raise SystemExit(wait_for([{sys.executable!r}, '-c', {child!r}]))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout.readline() == b"on\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
