"""A bundle beside another copy of the components, in one process."""

import json
import re
import shutil
import subprocess
import sys

import pytest

import components
from components import __version__
from tests.bundles.workflow import ROOT, configs
from tests.timeouts import HANG

WAYS = {
    "run": """
from monai.bundle import run
run("inferring", config_file=config, bundle_root=bundle, dataset_dir=".", output_dir="output")
""",
    "load": """
from monai.bundle import load
from pathlib import Path
import torch
torch.save({}, "weights.pt")
load(Path(bundle).name, bundle_dir=str(Path(bundle).parent), model_file=str(Path("weights.pt").resolve()),
     workflow_type="inference", source="github", repo="a/b/c")
""",
    "verify_net_in_out": """
from monai.bundle import verify_net_in_out
verify_net_in_out(net_id="network_def", config_file=config, meta_file=config.replace("inference", "metadata"),
                  device="cpu", n=2, any=32, bundle_root=bundle)
""",
    "ckpt_export": """
from monai.bundle import ckpt_export
import torch
torch.save({}, "weights.pt")
ckpt_export(net_id="network_def", filepath="model.ts", ckpt_file="weights.pt",
            meta_file=config.replace("inference", "metadata"), config_file=config, bundle_root=bundle)
""",
    "MonaiAlgo": """
from monai.fl.client import MonaiAlgo
MonaiAlgo(bundle_root=bundle, train_kwargs={"dataset_dir": "."}).initialize()
""",
}


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Two further copies of the components: of this version, and of another one."""
    folders = {}
    for version in (__version__, "0.9.0"):
        folder = tmp_path_factory.mktemp("environment")
        shutil.copytree(ROOT / "components", folder / "components", ignore=shutil.ignore_patterns("__pycache__"))
        path = folder / "components" / "__init__.py"
        path.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', path.read_text()))
        folders[version] = folder
    return folders


def load_after(copy, ways, bundle, cwd):
    """What is told by each way to load a bundle, one after another in a process that has imported the copy."""
    config = configs(bundle) / "inference.json"
    code = (
        "import json, sys, traceback\n"
        f"sys.path.insert(0, {str(copy)!r})\n"
        "import components\n"
        f"assert components.__file__.startswith({str(copy)!r})\n"
        f"bundle, config = {str(config.parents[1])!r}, {str(config)!r}\n"
        "told = {}\n"
        f"for way, lines in { ({way: WAYS[way] for way in ways})!r}.items():\n"
        "    try:\n"
        "        exec(lines, {'bundle': bundle, 'config': config})\n"
        "    except Exception:\n"
        "        told[way] = traceback.format_exc()\n"
        "with open('told.json', 'w') as file:\n"
        "    json.dump(told, file)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    return json.loads((cwd / "told.json").read_text())


def test_another_version_is_one_clear_error(copies, tmp_path):
    told = load_after(copies["0.9.0"], WAYS, "xlstm_cells", tmp_path)
    assert set(told) == set(WAYS)
    for text in told.values():
        (line,) = (line for line in text.splitlines() if line.startswith("ImportError"))
        assert f"this bundle needs components {__version__}, but Python has loaded components 0.9.0 from" in line
        assert str(copies["0.9.0"]) in line
        assert "run the bundle in a separate process" in line


def test_another_copy_of_the_version_is_fine(copies, tmp_path):
    assert load_after(copies[__version__], ["verify_net_in_out"], "xlstm_cells", tmp_path) == {}


@pytest.mark.parametrize(
    ("loaded", "needed", "serves"),
    [
        ("0.1.0", "0.1.0", True),
        ("0.1.2", "0.1.1", True),
        ("0.1.1", "0.1.2", False),
        ("0.2.0", "0.1.0", False),
        ("0.1.0", "0.2.0", False),
        ("1.0.0", "0.9.0", False),
        ("1.3.0", "1.2.5", True),
        ("1.2.10", "1.2.9", True),
        ("1.2.0", "1.3.0", False),
        ("2.0.0", "1.9.0", False),
    ],
)
def test_require(monkeypatch, loaded, needed, serves):
    monkeypatch.setattr(components, "__version__", loaded)
    if serves:
        components.require(needed)
    else:
        with pytest.raises(
            ImportError, match=rf"needs components {needed}, but .* components {loaded} from .*components"
        ):
            components.require(needed)
