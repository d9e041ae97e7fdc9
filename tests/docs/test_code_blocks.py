"""Every block of code in the documentation: Python runs, commands fit the command line, and the cheap ones run too.

A block that is not for running has ``<!-- skip: next "reason" -->`` above it.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

import nibabel as nib
import pytest
import torch
from monai.utils import set_determinism
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from components.networks import MSVMUNet
from scripts.cli import main
from tests import processes
from tests.docs.commands import ROOT, MissingArgument, check, commands_in
from tests.folders import folder
from tests.golden import GoldenCase
from tests.scripts.weights.conftest import imagenet

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "bundles/*/docs/README.md")
    for path in ROOT.glob(pattern)
)
SMALL = {"roi_size": [32, 32], "max_epochs": 1, "epoch_length": 1, "val_interval": 1, "batch_size": 2, "num_workers": 0}
WITH_PYTHON = [page for page in PAGES if "```python\n" in (ROOT / page).read_text(encoding="utf-8")]
INLINE = re.compile(r"`((?:python -m scripts|scanseg|bash scripts)\b(?!\.)[^`]*)`")
CHEAP = {("data", "sample")}
"""Commands that are run where they stand; so are those with ``--dry_run``."""


def blocks(page, language, evaluate):
    """Evaluate all blocks of one language in a page, but those that are marked."""
    code = PythonCodeBlockParser() if language == "python" else CodeBlockParser(language, evaluate)
    document = Document.parse(str(ROOT / page), SkipParser(), code)
    assert len(list(code(document))) == document.text.count(f"```{language}\n")
    for example in document.examples():
        with contextlib.suppress(unittest.SkipTest):
            example.evaluate()


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """The folder of a user who has data, an image, weights and the bundles."""
    with folder(tmp_path_factory, "user") as path:
        shutil.copytree(ROOT / "bundles", path / "bundles", ignore=shutil.ignore_patterns("models", "data", "output"))
        for name, classes in {"msvm_synapse": 9, "msvm_acdc": 4}.items():
            make_small(path / "bundles" / name / "configs")
            (path / "bundles" / name / "models").mkdir()
            weights = path / "bundles" / name / "models" / "model.pt"
            torch.save(MSVMUNet(in_channels=1, out_channels=classes).state_dict(), weights)
        shutil.copy(path / "bundles" / "msvm_synapse" / "models" / "model.pt", path / "model.pt")
        assert main(["data", "sample", "--bundle", "msvm_acdc", "--out", str(path / "sites" / "a")]) == 0
        state = GoldenCase("msvm_unet_9classes").state
        torch.save({"state_dict": {f"_model.{name}": tensor for name, tensor in state.items()}}, path / "synapse.ckpt")
        torch.save({"model": imagenet(state)}, path / "vssm1_tiny_0230s_ckpt_epoch_264.pth")
        (path / "scripts").symlink_to(ROOT / "scripts")
        (path / "scans").mkdir()
        shutil.copy(ROOT / "scripts" / "data" / "samples" / "ct.nii.gz", path / "scans")
        yield path


def make_small(configs):
    """Change the defaults of a copied bundle: small slices, one iteration an epoch, two test cases."""
    for path in configs.glob("*.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        config |= {name: value for name, value in SMALL.items() if name in config}
        path.write_text(json.dumps(config), encoding="utf-8")


@pytest.fixture
def clean():
    """Undo what a bundle's ``initialize`` sets for its process."""
    before = list(sys.path)
    yield
    sys.path[:] = before
    set_determinism(None)


@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("page", WITH_PYTHON)
@pytest.mark.usefixtures("clean")
def test_python_runs(page, user, monkeypatch):
    monkeypatch.chdir(user)
    blocks(page, "python", None)


@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("page", ["docs/tutorial.md", "docs/published_checkpoint.md"])
@pytest.mark.usefixtures("clean")
def test_commands_run(page, user, monkeypatch, capsys):
    """Every command but the installation, and but those for data that a user has to get first."""
    monkeypatch.chdir(user)
    environment = {**os.environ, **processes.SETTINGS}
    (user / "bundles" / "msvm_synapse" / "models" / "model.pt").unlink()  # made by a command
    shutil.rmtree(user / "labels", ignore_errors=True)

    def evaluate(example):
        for words in commands_in(example.parsed):
            if words[0] == "scanseg":
                words = ["python", "-m", "scripts", *words[1:]]
            if words[:2] != ["python", "-m"] or {"RAW", "D", "O"} & set(words) or "doctor" in words:
                continue
            if words[2] == "scripts" and words[3] != "run":  # which starts another process
                assert main(words[3:]) == 0, f"{' '.join(words)}\n{capsys.readouterr().err}"
                continue
            command = [sys.executable, *words[1:]]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"

    try:
        blocks(page, "bash", evaluate)
    finally:
        shutil.copy(user / "model.pt", user / "bundles" / "msvm_synapse" / "models")
    assert nib.load(user / "labels" / "ct_pred.nii.gz").shape == nib.load(user / "scans" / "ct.nii.gz").shape


@pytest.mark.parametrize("page", PAGES)
def test_commands_fit_the_command_line(page, tmp_path, monkeypatch, capsys):
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    monkeypatch.chdir(tmp_path)

    def evaluate(example):
        for words in commands_in(example.parsed):
            check(words)
            ours = words[1:] if words[0] == "scanseg" else words[3:] if words[1:3] == ["-m", "scripts"] else []
            if tuple(ours[:2]) in CHEAP or "--dry_run" in ours:
                assert main(ours) == 0, capsys.readouterr().err

    blocks(page, "bash", evaluate)
    for text in INLINE.findall((ROOT / page).read_text(encoding="utf-8")):
        if "…" not in text:
            check_named(" ".join(text.split()))


def check_named(text):
    """A command in the text may be without the arguments that it needs."""
    with contextlib.suppress(MissingArgument):
        check(next(iter(commands_in(text))))
