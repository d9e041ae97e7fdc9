"""What the doctor says of this installation, and of broken ones."""

import importlib.metadata
import json
import platform
import shutil

import pytest
import torch

from components.kernels import backends, operators, registry
from components.kernels.ops.mlstm import chunkwise
from components.kernels.ops.selective_scan import torch as scan
from scripts.cli import main
from scripts.doctor import kernels, machine, packages, tools
from scripts.doctor.finding import NOTE, OK, PROBLEM


def named(findings, name):
    return next(finding for finding in findings if finding.name == name)


@pytest.fixture(scope="module")
def healthy():
    """What is found of the kernels, once."""
    return list(kernels.findings())


def test_json(capsys):
    status = main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert status == int(any(finding["status"] == "problem" for finding in found))
    assert {"topic": "Python and packages", "name": "Python", "text": platform.python_version()}.items() <= found[
        0
    ].items()
    names = [finding["name"] for finding in found]
    assert {"CPU", "disk", "threads", "MONAI Label", "msvm_synapse"} <= set(names)


def test_text_without_colours_where_it_is_piped(capsys):
    main(["doctor"])
    told = capsys.readouterr().out
    assert told.startswith("Python and packages\n  ok  Python: ")
    assert "\033" not in told
    assert told.splitlines()[-1] in ("No problem was found.", "1 problem") or told.endswith(" problems\n")


def test_every_back_end_is_named(healthy):
    assert [finding.name for finding in healthy] == [f"{op}: {b.name}" for op in operators() for b in backends(op)]
    assert not [finding for finding in healthy if finding.status == PROBLEM]


@pytest.mark.skipif(torch.cuda.is_available(), reason="numba is for CPUs")
def test_back_end_that_is_taken(healthy):
    taken = {finding.name for finding in healthy if finding.text == "works, is taken"}
    assert taken == {
        "selective_scan: numba",
        "cross_selective_scan: numba",
        "mlstm: chunkwise",
        "instance_norm: numba",
        "depthwise_conv: numba",
    }


@pytest.fixture
def found_with(monkeypatch):
    """Replace an operator of a back end, and give what is found of it."""

    def find(module, op, function, name):
        monkeypatch.setattr(module, op, function)
        registry._resolve.cache_clear()
        try:
            return named(kernels.findings(), name)
        finally:
            monkeypatch.undo()
            registry._resolve.cache_clear()

    return find


def test_back_end_that_computes_something_else(found_with):
    right = scan.selective_scan
    found = found_with(
        scan, "selective_scan", lambda *args, **kwargs: right(*args, **kwargs) * 1.01, "selective_scan: torch"
    )
    assert found.status == PROBLEM
    assert "differs from the definition by 1.0e-02" in found.text


def test_back_end_that_fails(found_with):
    def broken(*args, **kwargs):
        raise ImportError("libsomething.so is missing")

    found = found_with(chunkwise, "mlstm", broken, "mlstm: chunkwise")
    assert (found.status, found.text) == (PROBLEM, "ImportError: libsomething.so is missing")


class Distribution:
    """An installation with these requirements."""

    def __init__(self, requires, version="0.1.0"):
        self.requires, self.version = requires, version
        self.metadata = self

    def get_all(self, key):
        return ["export", "mamba"]


def of_installation(monkeypatch, requires, versions, **more):
    def version(package):
        if package not in versions:
            raise importlib.metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution(requires, **more))
    monkeypatch.setattr(importlib.metadata, "version", version)
    return list(packages.findings())


def test_packages_that_are_missing_or_too_old(monkeypatch):
    requires = ["torch>=2.6", "monai>=1.5,<2", "numpy>=1.26", "onnx>=1.16; extra == 'export'"]
    found = of_installation(monkeypatch, requires, {"torch": "2.5.0", "numpy": "2.1.0"})
    assert (named(found, "torch").status, named(found, "torch").remedy) == (PROBLEM, "pip install 'torch>=2.6'")
    assert (named(found, "monai").text, named(found, "monai").status) == ("missing", PROBLEM)
    assert (named(found, "numpy").text, named(found, "numpy").status) == ("2.1.0", OK)
    extra = named(found, "extra export")
    assert (extra.status, extra.remedy) == (NOTE, "pip install 'scanseg[export]'")


def test_code_of_another_version(monkeypatch):
    found = of_installation(monkeypatch, [], {}, version="0.0.1")
    assert named(found, "scanseg").status == PROBLEM


def test_full_disk(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12 - 10**9, 10**9))
    found = named(machine.findings(), "disk")
    assert found.status == PROBLEM
    assert found.text.startswith("1.00 GB free in ")


def test_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    assert named(machine.findings(), "threads").remedy.startswith("export OMP_NUM_THREADS=")


def test_driver_without_a_build_of_pytorch_for_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert named(machine.findings(), "GPU").status == PROBLEM


def test_label_environment_without_monai_label(monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("SCANSEG_LABEL_PYTHON", str(program))
    assert named(tools.findings(), "MONAI Label").status == PROBLEM
    monkeypatch.setenv("SCANSEG_LABEL_PYTHON", str(tmp_path / "nothing"))
    assert named(tools.findings(), "MONAI Label").status == NOTE


def test_bundle_whose_config_is_broken(monkeypatch, tmp_path):
    configs = tmp_path / "bundles" / "mine" / "configs"
    configs.mkdir(parents=True)
    (configs / "train.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    found = named(tools.findings(), "mine")
    assert (found.status, found.remedy) == (PROBLEM, "scanseg zoo verify mine")
