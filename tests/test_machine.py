"""Facts about the machine, as the system tells them."""

import os
import platform
import sys

import pytest
import torch

from components import machine

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these files")


@linux
def test_container_that_may_use_less_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "CONTAINER", tmp_path)
    free = machine.free_memory_bytes()
    assert 0 < free <= machine.memory_bytes()
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("4000\n")
    assert machine.free_memory_bytes() == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.free_memory_bytes() > 3000


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity")
def test_cores_are_those_of_the_process():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert machine.cores() == len(before)


@linux
def test_flags_are_those_that_pytorch_finds():
    known = {"avx2": torch.cpu._is_avx2_supported(), "avx512f": torch.cpu._is_avx512_supported()}
    if platform.machine() in ("x86_64", "AMD64"):
        assert {flag: flag in machine.cpu_flags() for flag in known} == known
    assert machine.cpu_model()


def test_versions():
    found = machine.versions(["torch", "no-such-package"])
    assert found == {"python": platform.python_version(), "torch": torch.__version__}


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is one")
def test_without_an_accelerator():
    assert machine.accelerator() == "cpu"
