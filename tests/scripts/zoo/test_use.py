"""From a zip on a web server to a trained network, by MONAI's commands and without the repository.

The processes see one copy of the components, that in the downloaded folder, wherever else one may be installed.
"""

import functools
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from scripts.zoo.sources import ROOT
from scripts.zoo.verify import HERE
from tests.bundles.workflow import BUNDLES, SIZES, TRAINING, python

EACH = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in BUNDLES]
LOAD = """
import os, sys, torch
from monai.bundle import ConfigParser, download, load

name, bundles, url = sys.argv[1:]
download(name, url=url, bundle_dir=bundles, progress=False)
root = f"{bundles}/{name}"
parser = ConfigParser()
parser.read_config(f"{root}/configs/inference.json")
parser["bundle_root"] = root
state = parser.get_parsed_content("network_def").state_dict()
torch.save(state, "model.pt")
network = load(
    name,
    workflow_type="inference",
    model_file=os.path.abspath("model.pt"),
    bundle_dir=bundles,
    args_file={"bundle_root": root, "dataset_dir": "."},
    device="cpu",
    source="github",
    repo="none/none/none",
)
assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())
print(sys.modules["components"].__file__)
"""
"""Download a bundle, load its network by its config, with weights, and print where its code is."""
TRAINED = [case for case in EACH if case.values[0] in ("msvm_acdc", "xlstm_endoscopy")]


@pytest.fixture
def served(zips):
    """Address of a web server with the zips, and their names."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=zips["msvm_acdc"].parent)
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {name: f"http://127.0.0.1:{server.server_address[1]}/{path.name}" for name, path in zips.items()}
    server.shutdown()
    server.server_close()


def isolated(*words, folder, cwd):
    """Run a module or file in a process that finds components in one folder only; returns its output."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-W", "ignore", str(HERE / "isolated.py"), str(folder), *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.parametrize("name", EACH)
def test_download_and_load(name, served, tmp_path):
    folder, elsewhere = tmp_path / "bundles" / name, tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "program.py").write_text(LOAD)
    told = isolated(tmp_path / "program.py", name, folder.parent, served[name], folder=folder, cwd=elsewhere)
    assert told.splitlines()[-1] == str(folder / "components" / "__init__.py")


@pytest.mark.parametrize("name", TRAINED)
def test_download_train_evaluate_and_infer(name, served, tmp_path):
    folder, elsewhere = tmp_path / "bundles" / name, tmp_path / "elsewhere"
    elsewhere.mkdir()
    words = ["download", "--name", name, "--url", served[name], "--bundle_dir", folder.parent, "--progress", "False"]
    isolated("monai.bundle", *words, folder=folder, cwd=elsewhere)
    python("-m", "scripts", "data", "sample", "--bundle", name, "--out", "data", cwd=tmp_path)
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
        flags = [text for key, value in settings.items() for text in (f"--{key}", str(value))]
        isolated("monai.bundle", "run", run_id, *flags, folder=folder, cwd=elsewhere)

    run("training", "train", max_epochs=1, val_interval=1, **TRAINING[name])
    assert (folder / "models" / "model.pt").is_file()
    run("evaluating", "evaluate", **SIZES[name])
    assert json.loads((tmp_path / "output" / "metrics.json").read_text())["cases"] == 1
    run("inferring", "inference", **SIZES[name])
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
