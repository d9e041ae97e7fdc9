"""An installation: one name, everything inside, in an empty folder and beside projects with the same names as ours."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from tests.bundles.workflow import ROOT
from tests.scripts.predict.images import SMALL
from tests.timeouts import HANG

pytestmark = pytest.mark.xdist_group("installed")

SOURCES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "model_zoo.json")
BACKEND = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])('dist'), end='')"
SLICES = {"network_def#features": [8, 16, 32, 64], "network_def#depths": [1, 1, 1, 1]}


class Environment:
    """A virtual environment that has the packages of the running one, but its own scanseg or none."""

    def __init__(self, folder):
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        scheme = sysconfig.get_paths("venv", {"base": str(folder), "platbase": str(folder)})
        self.packages = Path(scheme["purelib"])
        self.bin = Path(scheme["scripts"])
        others = sorted({sysconfig.get_path(key) for key in ("purelib", "platlib")})
        # Python reads the file in the locale's encoding, whatever PYTHONUTF8 says: in ASCII it is the same in all.
        (self.packages / "others.pth").write_text(f"import sys; sys.path += {others!a}")

    def install(self, wheel):
        pip = [sys.executable, "-m", "pip", "--python", self.bin / "python", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)

    def run(self, *words, cwd, check=True):
        names = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        environment = {key: value for key, value in os.environ.items() if key not in names}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONUTF8": "1"}
        program, *rest = map(str, words)
        done = subprocess.run(
            [self.bin / program, *rest], cwd=cwd, env=environment, capture_output=True, text=True, timeout=HANG
        )
        if check and done.returncode:
            raise AssertionError(f"{words} failed\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def python(self, code, cwd):
        return self.run("python", "-c", code, cwd=cwd).stdout.split()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The sources, with what an older build and a training left in them."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copy(ROOT / name, folder)
    for name in ("bundles", "components", "scripts"):
        ignored = shutil.ignore_patterns("__pycache__", "data_dir", "output", "*.pt")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for stale in ("build/lib/components/old.py", "bundles/msvm_acdc/output/old.csv", "bundles/msvm_acdc/data/old.nii"):
        (folder / stale).parent.mkdir(parents=True)
        (folder / stale).touch()
    return folder


def build(hook, cwd):
    done = subprocess.run([sys.executable, "-c", BACKEND, hook], cwd=cwd, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr[-3000:]
    return cwd / "dist" / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def installed(source, tmp_path_factory):
    """An environment with the wheel that is built from the archive of the sources."""
    folder = tmp_path_factory.mktemp("installed")
    with tarfile.open(build("build_sdist", source)) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    environment = Environment(folder / "venv")
    environment.before = {path.name for path in environment.packages.iterdir()}
    environment.install(build("build_wheel", unpacked))
    return environment


def files(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_one_name_is_added_and_all_of_ours_is_in_it(installed, source):
    added = {path.name for path in installed.packages.iterdir()} - installed.before
    assert {name.partition("-")[0] for name in added} == {"scanseg"}
    assert len(added) == 2
    inside = installed.packages / "scanseg"
    found = files(inside) - {Path("model_zoo.json")}
    ours = {path for path in files(source / "scripts") if path.suffix != ".sh"}
    ours |= {"components" / path for path in files(source / "components")}
    ours |= {"bundles" / path for path in files(source / "bundles") if path.parts[1] not in ("data", "output")}
    assert found == ours
    assert (inside / "model_zoo.json").is_file()


ALL = """
import pkgutil, scanseg.components
for module in pkgutil.walk_packages(scanseg.components.__path__, "scanseg.components."):
    if not module.name.endswith("mlflow_code"):  # a program of its own
        try:
            __import__(module.name)
        except ImportError as error:  # optional packages may be missing
            assert not error.name.startswith(("components", "scanseg")), error
"""


@pytest.mark.parametrize("ours_first", [True, False], ids=["scanseg first", "project first"])
def test_a_project_with_folders_of_the_same_names(installed, tmp_path, ours_first):
    lines = ["from scanseg.networks import MSVMUNet", "import components.button"]
    for name, text in {
        "scripts/train.py": "\n".join(lines if ours_first else lines[::-1])
        + f"\n{ALL}\nprint(components.button.NAME, MSVMUNet.__name__)\n",
        "components/button.py": "NAME = 'mine'\n",
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    assert installed.run("python", "-m", "scripts.train", cwd=tmp_path).stdout.split()[:2] == ["mine", "MSVMUNet"]
    assert installed.run("python", "-m", "scanseg", "bundle", "list", cwd=tmp_path).stdout.startswith("msvm_acdc ")


def test_the_import_is_lazy_and_the_components_are_one_module(installed, tmp_path):
    code = """if True:
        import sys, scanseg
        print({"torch", "monai", "numpy"} & set(sys.modules) or "light")
        import components.networks
        from scanseg.networks import XLSTMUNet, load_published
        import scanseg.components.kernels.ops.instance_norm.numba, components.kernels.ops.instance_norm.numba
        assert scanseg.components is components and scanseg.kernels is components.kernels
        import components.networks.xlstm_unet
        assert scanseg.networks.xlstm_unet is components.networks.xlstm_unet
        assert components.networks.XLSTMUNet is XLSTMUNet
        import pickle
        assert pickle.loads(pickle.dumps(XLSTMUNet)) is XLSTMUNet
        copies = {module.__file__ for name, module in sys.modules.items() if name.endswith("kernels.registry")}
        import pydoc
        assert pydoc.locate("components.require") is components.require and pydoc.locate("components.nothing") is None
        print(len(copies), scanseg.__version__ == components.__version__)
    """
    assert installed.python(code, tmp_path) == ["light", "1", "True"]


def parsed(folder):
    """A program that builds the network of a bundle, as MONAI's commands do, and tells which components it is of."""
    return f"""if True:
        import sys
        from monai.bundle import ConfigParser
        parser = ConfigParser()
        parser.read_config({str(folder / "configs" / "inference.json")!r})
        parser.update({ {"bundle_root": str(folder), **SLICES}!r})
        network = parser.get_parsed_content("network_def")
        print(sys.modules["components"].__file__)
        import importlib.util
        if importlib.util.find_spec("scanseg"):
            import scanseg.networks
            assert scanseg.networks.MSVMUNet is type(network)
    """


def test_bundles_find_their_own_components_first_and_else_those_of_the_installation(installed, tmp_path):
    installed.run("scanseg", "bundle", "copy", "msvm_acdc", "--out", "copied", cwd=tmp_path)
    moved = (tmp_path / "copied").rename(tmp_path / "moved")
    verified = installed.run("scanseg", "zoo", "verify", "moved", "--static", cwd=tmp_path).stdout
    assert "FAILED" not in verified
    assert "code" in verified
    bare = tmp_path / "bare"
    shutil.copytree(moved / "configs", bare / "configs")
    (own,) = installed.python(parsed(moved), tmp_path)
    assert Path(own).is_relative_to(moved)
    (found,) = installed.python(parsed(bare), tmp_path)
    assert Path(found).is_relative_to(installed.packages / "scanseg")
    alone = Environment(tmp_path / "alone")
    (own,) = alone.python(parsed(moved), tmp_path)
    assert Path(own).is_relative_to(moved)


def test_commands_in_an_empty_folder(installed, tmp_path):
    listed = installed.run("scanseg", "bundle", "list", cwd=tmp_path).stdout
    assert [line.split()[0] for line in listed.splitlines()] == sorted(
        path.name for path in (ROOT / "bundles").iterdir()
    )
    verified = installed.run("scanseg", "zoo", "verify", "msvm_acdc", "--static", cwd=tmp_path).stdout
    assert "FAILED" not in verified
    installed.run("scanseg", "data", "sample", "--bundle", "xlstm_cells", "--out", "data", cwd=tmp_path)
    words = ["new", "nuclei", "--from", "xlstm_cells", "--data", "data", "--memory", "4"]
    installed.run("scanseg", *words, cwd=tmp_path)
    assert (tmp_path / "nuclei" / "components" / "kernels" / "registry.py").is_file()
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    code = f"""if True:
        import torch
        from scanseg.predict import InferenceBundle
        torch.save(InferenceBundle("xlstm_cells", {SMALL["xlstm_cells"]!r}).get("network").state_dict(), "w.pt")
    """
    installed.python(code, tmp_path)
    words = ["--bundle", "xlstm_cells", "--weights", "w.pt", "--input", "a.png", "--output", "out", "--device", "cpu"]
    installed.run(
        "python", "-m", "scanseg", "predict", *words, "--override", json.dumps(SMALL["xlstm_cells"]), cwd=tmp_path
    )
    assert (tmp_path / "out" / "a_pred.png").is_file()


def test_an_editable_installation(source, tmp_path):
    environment = Environment(tmp_path / "venv")
    environment.install(build("build_editable", source))
    code = """if True:
        import scanseg.networks, components.networks
        assert components.networks.MSVMUNet is scanseg.networks.MSVMUNet
        print(components.__file__)
    """
    assert environment.python(code, tmp_path) == [str(source / "components" / "__init__.py")]
    listed = environment.run("scanseg", "bundle", "list", cwd=tmp_path).stdout
    assert str(source / "bundles" / "msvm_acdc") in listed
