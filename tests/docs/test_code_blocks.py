"""Every block of code in the documentation: Python runs, commands fit the command line, and the cheap ones run too.

A block that is not for running has ``<!-- skip: next "reason" -->`` above it.
"""

import contextlib
import json
import re
import shutil
import sys
import unittest

import pytest
import torch
from monai.utils import set_determinism
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from components.networks import MSVMUNet
from scripts.__main__ import main
from tests.docs.commands import ROOT, MissingArgument, check, commands_in
from tests.folders import folder

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "bundles/*/docs/README.md")
    for path in ROOT.glob(pattern)
)
SMALL = {"roi_size": [32, 32], "epoch_length": 1, "batch_size": 2, "num_workers": 0}
WITH_PYTHON = [page for page in PAGES if "```python\n" in (ROOT / page).read_text(encoding="utf-8")]
INLINE = re.compile(r"`((?:python -m scripts|scanseg|bash scripts)\b[^`]*)`")
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
        assert main(["data", "sample", "--bundle", "msvm_acdc", "--out", str(path / "data" / "a")]) == 0
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
