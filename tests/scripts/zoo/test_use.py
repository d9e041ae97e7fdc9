"""From a zip on a web server to a trained network, by MONAI's commands and without the repository.

The processes see one copy of the components, that in the downloaded folder, wherever else one may be installed.
"""

import json
import os
import subprocess
import sys

from scripts.zoo.contents import ROOT
from scripts.zoo.verify import HERE
from tests.bundles.workflow import SIZES, TRAINING, python, runner
from tests.timeouts import HANG

NAME = "xlstm_endoscopy"


def isolated(*words, folder, cwd):
    """Run a module or file in a process that finds components in one folder only; returns its output."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-W", "ignore", str(HERE / "isolated.py"), str(folder), *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_download_train_evaluate_and_infer(zips, server, tmp_path):
    folder, elsewhere = tmp_path / "bundles" / NAME, tmp_path / "elsewhere"
    elsewhere.mkdir()
    url = f"{server.url}/{zips[NAME].name}"
    server.files = {f"/{zips[NAME].name}": zips[NAME].read_bytes()}
    words = ["download", "--name", NAME, "--url", url, "--bundle_dir", folder.parent, "--progress", "False"]
    isolated("monai.bundle", *words, folder=folder, cwd=elsewhere)
    python("-m", "scripts", "data", "sample", "--bundle", NAME, "--out", "data", cwd=tmp_path)
    datalist = json.loads((tmp_path / "data" / "datalist.json").read_text())
    shorter = {part: items if part == "training" else items[:1] for part, items in datalist.items()}
    (tmp_path / "data" / "datalist.json").write_text(json.dumps(shorter))

    def run(run_id, config, **overrides):
        settings = {
            "bundle_root": folder,
            "config_file": folder / "configs" / f"{config}.json",
            "dataset_dir": tmp_path / "data",
            "output_dir": tmp_path / "output",
            "num_workers": 0,
            **overrides,
        }
        isolated(*runner(run_id, settings), folder=folder, cwd=elsewhere)

    run("training", "train", max_epochs=1, val_interval=1, **TRAINING[NAME])
    assert (folder / "models" / "model.pt").is_file()
    run("evaluating", "evaluate", **SIZES[NAME])
    assert json.loads((tmp_path / "output" / "metrics.json").read_text())["cases"] == 1
    run("inferring", "inference", **SIZES[NAME])
    assert len(list((tmp_path / "output" / "predictions").iterdir())) == 1
    assert list(elsewhere.iterdir()) == []


def test_the_repository_is_hidden(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "for name in ('components', 'components.networks', 'scripts'):\n"
        "    try:\n"
        "        __import__(name)\n"
        "    except ModuleNotFoundError:\n"
        "        print('hidden')\n"
    )
    assert isolated(program, folder=tmp_path, cwd=tmp_path).split() == ["hidden"] * 3
